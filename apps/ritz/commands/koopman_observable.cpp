#include "apps/ritz/commands/koopman_observable.h"

#include <torch/types.h>

#include <charconv>

#include "ritz/base/check_tensor.h"

namespace ritz::app {

Tensor load_observable(const std::string& spec, const koopman::Snapshots& snapshots, Run& run) {
  int64_t column = 0;
  const char* end = spec.data() + spec.size();
  if (const auto [at, error] = std::from_chars(spec.data(), end, column);
      at == end && error == std::errc()) {
    const Tensor place = (snapshots.features == column).nonzero();
    if (place.size(0) == 0) {
      throw InvalidArgument("--observable",
                            "a column of X that is not masked, from 0 (there are " +
                                std::to_string(snapshots.dimension()) + "), or a file",
                            spec);
    }
    return snapshots.states.select(1, place[0][0].item<int64_t>());
  }
  const Tensor values = load_numbers(spec, run).reshape({-1});
  const int64_t states = snapshots.states.size(0);
  if (values.size(0) != states) {
    throw InvalidArgument("--observable", "one number a state, " + std::to_string(states),
                          std::to_string(values.size(0)), spec);
  }
  return values;
}

}  // namespace ritz::app
