#pragma once
// Makes what DesignSpaceOptions name.
#include <memory>
#include <optional>

#include "apps/ritz/commands/design_space_options.h"
#include "apps/ritz/frame/run.h"
#include "ritz/design/space.h"

namespace ritz::app {

struct DesignSpace {
  std::shared_ptr<design::Space> space;
  std::optional<design::SpaceOptions> text;  // how a design file says it; none for candidates

  /// The basis functions' numbers, for JSON: [k_1, ..., k_d] each; candidates: [column].
  Json index() const;
};

/// What is wrong with a space named by the command line is a UsageError, what is wrong with a
/// file's contents is not.
DesignSpace load_design_space(const DesignSpaceOptions& options, Run& run);

/// Runs `work`; where the command line alone is to blame (`by_line`), InvalidArgument becomes
/// UsageError.
template <class Work>
auto blame_line(bool by_line, Work&& work) {
  try {
    return work();
  } catch (const InvalidArgument& error) {
    if (!by_line) throw;
    throw UsageError(std::string(error.what()));
  }
}

}  // namespace ritz::app
