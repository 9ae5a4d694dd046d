#pragma once
// Stopping in order: Ctrl-C (SIGINT) and SIGTERM set a flag, long loops look at it, leave a
// checkpoint and throw Interrupted. The second signal ends the process at once.
//
//     ritz::catch_interrupts();                  // a program's main, once; a library never does it
//     for (...) {
//       if (ritz::interrupted()) { save(); throw ritz::Interrupted("step 12 of 40"); }
//     }
#include <string_view>

namespace ritz {

/// Installs the handlers. A signal that the parent had set to be ignored (nohup) stays ignored.
void catch_interrupts();

/// Has a signal arrived? One relaxed load: cheap enough for every step of a loop. Always false
/// where catch_interrupts was not called.
bool interrupted();

/// Throws Interrupted where a signal has arrived; `what` says what was left unfinished.
void check_interrupt(std::string_view what);

}  // namespace ritz
