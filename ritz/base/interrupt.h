#pragma once
// Stopping in order: Ctrl-C (SIGINT) and SIGTERM set a flag, long loops look at it, leave a
// checkpoint and throw Interrupted. The second signal ends the process at once.
//
//     #include "ritz/base/interrupt.h"
//     int main() {
//       ritz::catch_interrupts();  // in a program, once; a library never does it
//       for (int step = 0; step < 1000; ++step) {
//         if (ritz::interrupted()) return 130;  // leave a checkpoint, then throw ritz::Interrupted
//       }
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
