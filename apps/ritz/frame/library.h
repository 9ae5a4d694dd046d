#pragma once
// The door between the executable and libritz_commands.so, which holds every command that computes.
#include <string_view>

namespace ritz::app {

class Run;

/// The one function that the library exports: runs the command `name` on its struct.
extern "C" void ritz_run_command(const char* name, const void* command, Run& run);

/// Loads the library (beside the executable, in ../lib from it, or where it was built) and runs the
/// command. SystemFailure where the library is missing or of another version.
void run_in_library(std::string_view name, const void* command, Run& run);

}  // namespace ritz::app
