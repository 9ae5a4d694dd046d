#include "apps/ritz/frame/library.h"

#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "ritz/base/error.h"

namespace ritz::app {
namespace fs = std::filesystem;

void run_in_library(std::string_view name, const void* command, Run& run) {
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
  fs::path path = here / RITZ_COMMANDS_FILE;  // the build tree
  if (!fs::exists(path)) path = here / RITZ_COMMANDS_INSTALLED / RITZ_COMMANDS_FILE;
  // Global: libtorch's libraries look for each other's symbols. Never closed: threads may run in
  // it.
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL);
  if (library == nullptr) throw SystemFailure(std::string("the commands: ") + dlerror());
  const auto run_command =
      reinterpret_cast<decltype(&ritz_run_command)>(dlsym(library, "ritz_run_command"));
  if (run_command == nullptr) throw SystemFailure(std::string("the commands: ") + dlerror());
  run_command(std::string(name).c_str(), command, run);
}

}  // namespace ritz::app
