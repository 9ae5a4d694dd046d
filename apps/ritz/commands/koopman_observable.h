#pragma once
// --observable: one column of the data, or a file of values.
#include <string>

#include "apps/ritz/commands/koopman_data.h"

namespace ritz::app {

/// Values at every state, [S] in the order of the snapshots' states: `spec` is a column of X (from
/// 0) or a file with one number a state ([T], [N, T]; for pairs: one a pair).
Tensor load_observable(const std::string& spec, const koopman::Snapshots& snapshots, Run& run);

}  // namespace ritz::app
