#pragma once
// One run of a command: what it is given, and where its results go.
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"

namespace ritz::io {
struct Array;
}

namespace ritz::app {

using Json = nlohmann::ordered_json;  // sources that fill it include <nlohmann/json.hpp>

class Run {
 public:
  Run(std::string command, const CommonOptions& common, const std::vector<std::string>& arguments);
  ~Run();

  /// --out, --seed, --threads and the others.
  const CommonOptions common;
  /// "spectrum scaling"
  const std::string command;
  /// The command line as it was typed, quoted for a shell: what repeats this run.
  const std::string line;

  /// The command's own JSON keys, in the order they are set. The head is the frame's. NaN and Inf
  /// become null.
  Json& json() { return *body_; }

  /// Standard output for people; goes nowhere where --json - owns it.
  std::ostream& text();
  /// `name` and `value` in JSON and as an aligned line of text; `comment` (a unit, a meaning) only
  /// there.
  void value(std::string_view name, double number, std::string_view comment = {});
  void value(std::string_view name, int64_t number, std::string_view comment = {});
  void value(std::string_view name, std::string_view words, std::string_view comment = {});
  /// Rows of cells as aligned columns of text; numbers (as text) right, words left.
  void table(const std::vector<std::string>& head,
             const std::vector<std::vector<std::string>>& rows);

  /// An input, for JSON's `inputs`.
  void input(std::string_view file, const std::vector<int64_t>& shape, std::string_view dtype);
  void input(std::string_view file, const io::Array& array);
  /// A warning: on standard error, and in JSON's `warnings`. `code` is a word for scripts.
  void warn(std::string_view code, std::string_view message);

  /// The answer was not reached: what is in json() is still written, marked with a warning
  /// `not_converged`, and the program ends with exit code 4. Return from run() after it.
  void not_converged(std::string_view message);

  /// The whole JSON document, head first, as --json writes it.
  std::string document() const;

  /// This process is one of several ranks and not the first: no text, no JSON, no progress bar.
  void be_silent() { silent_ = true; }

  /// May a progress bar be drawn? (a terminal, and no --quiet)
  bool shows_progress() const;
  /// Throws UsageError where a file to be written is there and --force is not. For commands that
  /// write more than --out itself, before they compute.
  void check_target(const std::string& path, std::string_view option = "--out") const;

  /// Threads in use, for JSON's head; set by whoever starts the pool.
  int64_t threads = 1;

  // For the frame.
  bool failed_to_converge() const { return not_converged_; }
  const std::string& failure() const { return failure_; }
  void write_json();

 private:
  Json head() const;

  std::unique_ptr<Json> body_, inputs_, warnings_;
  std::unique_ptr<std::ostream> nowhere_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool not_converged_ = false;
  bool silent_ = false;
  std::string failure_;
};

/// JSON as every file of ritz has it: indented, arrays of numbers on one line, NaN and Inf as null.
std::string json_text(const Json& value);

/// A double as a reader wants it: six significant digits.
std::string short_text(double value);

}  // namespace ritz::app
