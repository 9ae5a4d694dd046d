#pragma once
// The options of a command, declared in words and bound to the fields they set. One declaration
// serves the parser, --help, --config, shell completion and the man page.
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ritz::app {

/// One option or positional argument. What it allows is checked when its text is read; text that
/// does not fit is a UsageError (exit 2) naming the option.
class Option {
 public:
  /// The command line (or --config) must give it.
  Option& required();
  /// Every number given must be >= `least`.
  Option& at_least(double least);
  /// Every number given must be > `bound`.
  Option& above(double bound);
  /// Every number given must be <= `most`.
  Option& at_most(double most);
  /// Every number given must be < `bound`.
  Option& below(double bound);
  /// Every text given must be one of these; completion offers them.
  Option& one_of(std::vector<std::string> choices);
  /// Given without a value, it means `value`.
  Option& bare(std::string value);
  /// Completion offers files (the default where the value is called FILE) or folders.
  Option& folder();

  std::string name;        // "--steps", or "FILE" for a positional argument
  std::string value_name;  // what --help calls its value; empty for a flag
  std::string help;
  std::string default_text;  // what --help shows in brackets; empty: nothing
  std::vector<std::string> choices;
  std::string bare_value;  // what the option means without a value; empty: it needs one
  bool is_flag = false;
  bool is_positional = false;
  bool is_list = false;  // a comma-separated list (options) or many words (positionals, --opt)
  bool takes_many_words = false;  // positionals: the rest of the line; options: may be repeated
  bool is_required = false;
  bool is_common = false;
  bool wants_folder = false;
  bool given = false;  // on the command line or in --config
  /// What is expected, where a text has a form of its own and does not have it; else empty.
  std::function<std::string(const std::string&)> verify;

  /// Reads the words given for it into the bound field. `where` names the config file, if it is
  /// one.
  void set(const std::vector<std::string>& words, std::string_view where = {});

 private:
  friend class Options;
  std::string range_text() const;
  void check_number(double value, std::string_view text, std::string_view where) const;

  std::function<void(const Option&, const std::vector<std::string>&, std::string_view)> read_;
  std::optional<double> low_, high_;
  bool low_open_ = false, high_open_ = false;
};

/// The options of one command in the order of their help.
///
///     void declare(Options& options) {
///       options.positional("MATRIX", matrix, "a symmetric matrix").required();
///       options.option("--steps", steps, "M", "Lanczos steps for each probe").at_least(1);
///       options.option("--operator", kind, "KIND", "which matrix").one_of({"hessian", "ggn"});
///       options.option("--batch-sizes", sizes, "B,B,...", "batch sizes").at_least(1);
///       options.flag("--centre", centre, "subtract the mean row first");
///       options.output_file("the eigenvectors");      // declares --out
///     }
class Options {
 public:
  /// A value bound to a field; the field's value now is the default that --help shows. Supported:
  /// std::string, int64_t, uint64_t, int, double, std::optional of those, and std::vector of them
  /// (one comma-separated word).
  template <typename T>
  Option& option(std::string name, T& field, std::string value_name, std::string help);
  /// An option that may be repeated, one word each (`--opt KEY=VALUE`).
  Option& repeated(std::string name, std::vector<std::string>& field, std::string value_name,
                   std::string help);
  /// Present or absent; `--name=false` also works, as does `name = true` in --config.
  Option& flag(std::string name, bool& field, std::string help);
  /// A word without a name; std::string takes one, std::vector<std::string> all that remain.
  Option& positional(std::string name, std::string& field, std::string help);
  Option& positional(std::string name, std::vector<std::string>& field, std::string help);

  /// This command writes one file, named by --out; `what` says what is in it.
  Option& output_file(const std::string& what);
  /// This command writes a folder, named by --out.
  Option& output_folder(const std::string& what);

  std::deque<Option>& all() { return options_; }
  const std::deque<Option>& all() const { return options_; }
  /// The option of this name, or null.
  Option* find(std::string_view name);

  /// Where the frame puts --out.
  std::string* out = nullptr;
  bool out_is_folder = false;

 private:
  Option& add(std::string name, std::string value_name, std::string help);
  std::deque<Option> options_;  // references to options stay valid
};

// One definition for each supported type, in options.cpp.
// clang-format off
#define RITZ_OPTION_TYPES(X) \
  X(std::string) X(int64_t) X(uint64_t) X(int) X(double) \
  X(std::optional<std::string>) X(std::optional<int64_t>) X(std::optional<double>) \
  X(std::vector<std::string>) X(std::vector<int64_t>) X(std::vector<double>)
// clang-format on
#define RITZ_DECLARE_OPTION(T) \
  extern template Option& Options::option<T>(std::string, T&, std::string, std::string);
RITZ_OPTION_TYPES(RITZ_DECLARE_OPTION)
#undef RITZ_DECLARE_OPTION

}  // namespace ritz::app
