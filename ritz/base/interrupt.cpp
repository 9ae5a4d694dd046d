#include "ritz/base/interrupt.h"

#include <atomic>
#include <csignal>

#include "ritz/base/error.h"

namespace ritz {
namespace {

// A signal handler can only reach what is global; nothing else of ritz is.
std::atomic<bool> signalled{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void on_signal(int number) {
  if (signalled.exchange(true)) {  // the second one: die of it, as if never caught
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
}

}  // namespace

void catch_interrupts() {
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction old = {};
    sigaction(number, nullptr, &old);
    if (old.sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;  // a write in progress goes on; loops see the flag
    sigaction(number, &action, nullptr);
  }
}

bool interrupted() {
  return signalled.load(std::memory_order_relaxed);
}

void check_interrupt(std::string_view what) {
  if (interrupted()) throw Interrupted("interrupted: " + std::string(what));
}

}  // namespace ritz
