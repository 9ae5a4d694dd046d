#pragma once
// Snapshots and their dictionary, as a command line names them.
#include "apps/ritz/commands/koopman_data_options.h"
#include "apps/ritz/frame/run.h"
#include "ritz/koopman/dictionary.h"

namespace ritz::app {

/// An array of numbers from a file: float32, float64 or complex as they are, integers as float64
/// with a note, on --device.
Tensor load_numbers(const std::string& path, Run& run);

/// All pairs, before anything is held out.
koopman::Snapshots load_snapshots(const KoopmanDataOptions& options, Run& run);

/// The dictionary of the options for these training data.
koopman::Lift load_lift(const KoopmanDataOptions& options, const koopman::Snapshots& train,
                        Run& run);

}  // namespace ritz::app
