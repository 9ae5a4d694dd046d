// libritz_commands.so: the run() of every command that computes with tensors.
#include <c10/util/Exception.h>

#include <cstring>
#include <new>
#include <string>
#include <tuple>
#include <type_traits>

#include "apps/ritz/commands.h"
#include "apps/ritz/frame/library.h"
#include "apps/ritz/frame/run.h"
#include "ritz/base/error.h"
#include "ritz/base/threads.h"

namespace ritz::app {
namespace {

template <typename C>
bool run_if(const char* name, const void* command, Run& run) {
  if constexpr (!kRunsWithoutTorch<C>) {
    if (C::kName == name) {
      static_cast<const C*>(command)->run(run);
      return true;
    }
  }
  return false;
}

template <typename... C>
bool run_one_of(std::type_identity<std::tuple<C...>>, const char* name, const void* command,
                Run& run) {
  return (run_if<C>(name, command, run) || ...);
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

// libtorch's own errors become ritz's here, without their stack traces: the executable does not
// know their types.
extern "C" void ritz_run_command(const char* name, const void* command, Run& run) {
  try {
    if (run.common.threads > 0) set_threads(static_cast<int>(run.common.threads));
    run.threads = threads();
    if (!run_one_of(std::type_identity<Commands>(), name, command, run)) {
      throw SystemFailure("the commands: libritz_commands.so is of another version");
    }
  } catch (const c10::Error& error) {
    const std::string message = first_line(error.what_without_backtrace());
    const bool memory = message.find("allocate memory") != std::string::npos ||
                        message.find("out of memory") != std::string::npos;
    if (memory) throw std::bad_alloc();
    throw Unsupported("libtorch: " + message);
  }
}

}  // namespace ritz::app
