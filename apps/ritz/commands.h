#pragma once
// Every command of the program, in the order of `ritz --help`. See frame/command.h for what a
// command is.
#include <tuple>

#include "apps/ritz/commands/completion.h"
#include "apps/ritz/commands/study.h"
#include "apps/ritz/commands/train.h"

namespace ritz::app {

using Commands = std::tuple<Train, Study, Completion>;

/// Words that only group commands.
struct Group {
  std::string_view name, summary;
};
inline constexpr Group kGroups[] = {{"data", "generate, convert or inspect data"}};

template <typename C>
constexpr bool kRunsWithoutTorch = requires {
  C::kWithoutTorch;
};

}  // namespace ritz::app
