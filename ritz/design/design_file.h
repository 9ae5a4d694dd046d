#pragma once
// A design on its way to the user's simulation and back. CSV:
//
//   # ritz design space=legendre dim=2 degree=5 index=total
//   points_0,points_1,weights
//   -0.31,0.87,0.42
//   ...
//
// The user adds a column `value`, or writes one column of values in the design's order. Other
// formats hold arrays `points` (candidates: `indices`), `weights` and `design` (the first line's
// text as bytes).
#include <optional>
#include <string>

#include "ritz/design/space.h"

namespace ritz::design {

struct DesignFile {
  /// The space, or nothing where the file does not say it (or speaks of candidates).
  std::optional<SpaceOptions> space = {};
  std::string candidates = {};  // the file of the candidate matrix,
  std::string measure = {};     // that of its probabilities,
  bool orthonormalise = false;  // and whether its columns are to be made orthonormal
  Tensor points = {};           // float64 [n, d]; candidates: int64 [n, 1]
  Tensor weights = {};          // float64 [n]
};

/// CSV files, and others by the extension. InvalidArgument for a format of one array.
void write_design(const std::string& path, const DesignFile& design, bool force = false);
DesignFile read_design(const std::string& path);

/// float64 [n]: a column `value` beside the design's points (their order and count are checked), or
/// the only column of a file. DataError where they do not fit the design.
Tensor read_values(const std::string& path, const DesignFile& design);

/// "space=legendre dim=2 degree=5 index=total" and back.
std::string space_text(const SpaceOptions& options);
SpaceOptions parse_space_text(const std::string& text);

}  // namespace ritz::design
