#pragma once
// The latents of a learned model as a dictionary: what the other Koopman methods verify, forecast
// and measure with, learned instead of chosen.
//
//     #include "ritz/koopman/learned/latent_dictionary.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman;
//       const auto model = std::make_shared<learned::Model>(
//           learned::ModelOptions{.network = "mlp:16", .sample = {3}, .latent = 4});
//       const auto functions = learned::latent_dictionary(model);
//       return functions->size() == 4 && functions->dimension() == 3 ? 0 : 1;
//     }
#include <memory>

#include "ritz/koopman/dictionary.h"
#include "ritz/koopman/learned/model.h"

namespace ritz::koopman::learned {

/// The functions z_1(x), ..., z_N(x) of raw frames, flattened: N = d, or n d of n objects. float64
/// whatever the model's dtype. A left eigenvector w of K gives the eigenfunction w z(x), so that
/// `holdout_residuals` judges a model's eigenvalues as it judges any others.
DictionaryPtr latent_dictionary(std::shared_ptr<Model> model);

}  // namespace ritz::koopman::learned
