#pragma once
#include <chrono>
#include <string>

namespace ritz {

/// Seconds of a steady clock since it was made or restarted.
class Timer {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "0.31 s", "42 s", "3 min 12 s", "2 h 5 min": a duration as people say it.
std::string duration_text(double seconds);

}  // namespace ritz
