#pragma once
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct Completion {
  static constexpr std::string_view kName = "completion";
  static constexpr std::string_view kSummary =
      "a script that completes ritz's commands and options in your shell";
  static constexpr std::string_view kExample = "source <(ritz completion bash)";
  static constexpr bool kWithoutTorch = true;

  std::string shell;

  void declare(Options& options) {
    options.positional("SHELL", shell, "whose script").one_of({"bash", "zsh", "man"}).required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
