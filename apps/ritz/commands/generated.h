#pragma once
// What every `ritz data make GENERATOR` writes: arrays, and beside them what is known about them.
#include <nlohmann/json.hpp>
#include <vector>

#include "apps/ritz/frame/run.h"
#include "ritz/io/array_file.h"

namespace ritz::app {

/// Throws where --out or the truth beside it may not be written. Call it first.
void check_generated_targets(const Run& run);
/// Writes the arrays to --out and `truth` to its .truth.json.
void write_generated(Run& run, const std::vector<io::Array>& arrays, Json truth);

}  // namespace ritz::app
