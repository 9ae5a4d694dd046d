#pragma once
// From a name and KEY=VALUE words to an optimiser.
#include <memory>
#include <vector>

#include "ritz/optim/catalogue.h"
#include "ritz/optim/optimizer.h"

namespace ritz::optim {

/// The catalogue's optimiser `name` over these parameters.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, std::vector<Tensor> parameters,
                                          double lr, const Settings& settings);

}  // namespace ritz::optim
