#include "apps/ritz/frame/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>

#include "apps/ritz/frame/config.h"
#include "apps/ritz/frame/help.h"
#include "apps/ritz/frame/run.h"
#include "ritz/base/atomic_file.h"
#include "ritz/base/error.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/version.h"

namespace ritz::app {
namespace {

enum ExitCode {
  kDone = 0,
  kMachine = 1,
  kUsage = 2,
  kBadInput = 3,
  kNotConverged = 4,
  kInterrupted = 130
};

// CLI11's tree of the table: where each command's words and options end up.
struct Node {
  CLI::App* app;
  CommandEntry* command = nullptr;        // null for a group
  std::vector<CLI::Option*> parsed = {};  // beside command->options, in order
  CLI::Option* help;
};

class Parser {
 public:
  explicit Parser(CommandTable& table) : table_(table) {
    add_node("", nullptr);
    for (auto& command : table.commands) {
      for (size_t space = command.name.find(' '); space != std::string::npos;
           space = command.name.find(' ', space + 1)) {
        const std::string group = command.name.substr(0, space);
        if (nodes_.find(group) == nodes_.end()) add_node(group, nullptr);
      }
      add_node(command.name, &command);
    }
  }

  // Sets the options of the command named by `words` and returns it; null where help was asked for
  // and printed. `path` is what was understood of the command's name, also when this throws.
  CommandEntry* parse(const std::vector<std::string>& words, std::string& path) {
    if (words.size() == 1 && words.front() == "--version") {
      std::cout << "ritz " << version() << '\n';
      return nullptr;
    }
    std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants them
    std::string failure;
    try {
      root_.parse(reversed);
    } catch (const CLI::ParseError& error) {
      failure = error.what();
    }
    path = parsed_path();
    Node& node = nodes_.at(path);
    const bool wants_help =
        node.help->count() > 0 || nodes_.at("").help->count() > 0 ||
        (!failure.empty() && std::count(words.begin(), words.end(), "--help") > 0);
    if (!wants_help) check_words(words, node, path, failure);
    if (node.command == nullptr) {
      if (!wants_help) throw UsageError("command", children_of(path), "none", see_help(path));
      std::cout << (path.empty() ? program_help(table_) : group_help(table_, path));
      return nullptr;
    }
    try {
      set_options(node, path);
      if (!wants_help) finish(*node.command, path);
    } catch (const Error&) {
      if (!wants_help) throw;
    }
    if (wants_help) {
      std::cout << command_help(table_, *node.command);
      return nullptr;
    }
    return node.command;
  }

 private:
  static std::string see_help(const std::string& path) {
    return "see 'ritz " + path + (path.empty() ? "" : " ") + "--help'";
  }

  void add_node(const std::string& name, CommandEntry* command) {
    CLI::App* app = &root_;
    if (!name.empty()) {
      const size_t space = name.rfind(' ');
      CLI::App* parent = nodes_.at(space == std::string::npos ? "" : name.substr(0, space)).app;
      app = parent->add_subcommand(name.substr(space + 1));  // npos + 1 is 0
    }
    app->set_help_flag();
    app->allow_extras();
    app->require_subcommand(0, 1);
    Node node{.app = app, .command = command, .help = app->add_flag("-h,--help")};
    if (command != nullptr) {
      for (const auto& option : command->options.all()) {
        CLI::Option* parsed = option.is_flag ? app->add_flag(option.name)
                                             : app->add_option(option.name, CLI::callback_t());
        if (option.is_positional && option.takes_many_words)
          parsed->expected(1, 1 << 29)->allow_extra_args();
        if (!option.bare_value.empty()) parsed->expected(0, 1);
        parsed->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        node.parsed.push_back(parsed);
      }
    }
    nodes_.emplace(name, std::move(node));
  }

  std::string parsed_path() const {
    std::string path;
    const CLI::App* app = &root_;
    while (!app->get_subcommands().empty()) {
      app = app->get_subcommands().front();
      path += (path.empty() ? "" : " ") + app->get_name();
    }
    return path;
  }

  std::string children_of(const std::string& path) const {
    std::string list;
    for (const auto* child :
         nodes_.at(path).app->get_subcommands([](const CLI::App*) { return true; })) {
      list += (list.empty() ? "" : "|") + child->get_name();
    }
    return list;
  }

  // What CLI11 refused, and what it left over.
  void check_words(const std::vector<std::string>& words, const Node& node, const std::string& path,
                   const std::string& failure) const {
    for (const auto& word : words) {  // CLI11 would take the next word as the value of `--name=`
      if (word.size() > 3 && word.compare(0, 2, "--") == 0 && word.find('=') == word.size() - 1) {
        throw UsageError(word.substr(0, word.size() - 1), "a value", "''", see_help(path));
      }
    }
    if (!failure.empty()) {
      const size_t colon = failure.find(": ");
      if (failure.compare(0, 2, "--") == 0 && colon != std::string::npos) {
        throw UsageError(failure.substr(0, colon), "a value", "nothing after it", see_help(path));
      }
      throw UsageError("arguments", "what --help lists", failure, see_help(path));
    }
    for (std::string above = path;
         !above.empty();) {  // options between the words of a nested command
      above = above.substr(0, above.rfind(' ') == std::string::npos ? 0 : above.rfind(' '));
      for (const auto* option : nodes_.at(above).parsed) {
        if (option->count() == 0) continue;
        throw UsageError(option->get_name(), "options after the last word of the command's name",
                         "it before", see_help(path));
      }
    }
    const auto extras = root_.remaining(true);
    if (extras.empty()) return;
    const std::string found = "'" + extras.front() + "'";
    if (node.command == nullptr && extras.front().compare(0, 1, "-") != 0) {
      throw UsageError("command", children_of(path), found, see_help(path));
    }
    if (extras.front().compare(0, 1, "-") == 0) {
      throw UsageError("arguments", "options that the command has", found, see_help(path));
    }
    throw UsageError("arguments", "no further word", found, see_help(path));
  }

  void set_options(Node& node, const std::string& path) {
    auto parsed = node.parsed.begin();
    for (auto& option : node.command->options.all()) {
      const auto& words = (*parsed++)->results();
      if (words.empty()) continue;
      std::vector<std::string> given = option.is_flag ? std::vector{words.back()} : words;
      if (!option.bare_value.empty() && given.size() == 1 && given[0].empty()) {
        given[0] = option.bare_value;
      }
      option.set(given, see_help(path));
    }
    if (!table_.common.config.empty()) set_from_config(*node.command);
  }

  // Keys at top level, then those under [command], where the command line did not set the option.
  void set_from_config(CommandEntry& command) {
    const auto entries = read_config(table_.common.config);
    std::vector<const Option*> from_command_line;
    for (const auto& option : command.options.all()) {
      if (option.given) from_command_line.push_back(&option);
    }
    for (const bool top_level : {true, false}) {
      for (const auto& entry : entries) {
        if (top_level != (entry.path.size() == 1)) continue;
        std::string section;
        for (size_t i = 0; i + 1 < entry.path.size(); ++i)
          section += (i == 0 ? "" : " ") + entry.path[i];
        CommandEntry* target = top_level ? &command : nullptr;
        for (auto& other : table_.commands) {
          if (!top_level && other.name == section) target = &other;
        }
        if (target == nullptr) {
          throw UsageError("--config", "a section that is a command's name", "[" + section + "]",
                           entry.where);
        }
        Option* option = target->options.find("--" + entry.path.back());
        if (option == nullptr || option->name == "--config") {
          throw UsageError("--config", "keys that are options of 'ritz " + target->name + "'",
                           "'" + entry.path.back() + "'", entry.where);
        }
        const bool wins =
            std::count(from_command_line.begin(), from_command_line.end(), option) == 0;
        if (target == &command && wins) option->set(entry.words, entry.where);
      }
    }
  }

  // What only the whole line shows.
  void finish(CommandEntry& command, const std::string& path) {
    for (const auto& option : command.options.all()) {
      if (option.is_required && !option.given) {
        throw UsageError(option.name, "it to be given", "nothing", see_help(path));
      }
    }
    if (command.check) command.check();
    const CommonOptions& common = table_.common;
    if (!common.json.empty() && common.json == common.out) {
      throw UsageError("--json", "another target than --out", "'" + common.json + "' twice");
    }
    if (!common.json.empty() && common.json != "-") check_target(common.json, common.force);
    if (!common.out.empty() && common.out != "-" && !command.options.out_is_folder) {
      check_target(common.out, common.force);
    }
  }

  CommandTable& table_;
  CLI::App root_{"", "ritz"};
  std::map<std::string, Node> nodes_;
};

// One line, whatever the error; returns its exit code.
int report(const std::string& command, const std::string& message, ExitCode code) {
  std::cout.flush();
  std::cerr << "ritz" << (command.empty() ? "" : " ") << command << ": "
            << message.substr(0, message.find('\n')) << std::endl;
  return code;
}

int run_command(CommandEntry& command, const CommonOptions& common,
                const std::vector<std::string>& line) {
  Run run(command.name, common, line);
  try {
    command.run(run);
  } catch (const NotConverged& error) {
    run.not_converged(error.what());
  }
  run.write_json();
  errno = 0;
  if (!std::cout.flush()) {
    throw SystemFailure(
        format_error("standard output", "room to write", std::strerror(errno != 0 ? errno : EIO)));
  }
  if (run.failed_to_converge()) return report(command.name, run.failure(), kNotConverged);
  return interrupted() ? kInterrupted : kDone;
}

}  // namespace

void declare_common(Options& options, CommonOptions& common) {
  const size_t own = options.all().size();
  options.option("--json", common.json, "FILE", "results as JSON; '-': alone on standard output");
  options.option("--seed", common.seed, "N", "seed of every random number");
  options.option("--threads", common.threads, "N", "threads [all cores]")
      .at_least(1)
      .at_most(4096)
      .default_text.clear();
  options.option("--device", common.device, "DEVICE", "cpu, cuda or cuda:K");
  options.option("--dtype", common.dtype, "TYPE", "compute in it, whatever the input's")
      .one_of({"float32", "float64"});
  options.option("--config", common.config, "FILE",
                 "TOML with long option names as keys, at top level or under [command]; the "
                 "command line wins");
  options.flag("--force", common.force, "overwrite existing files");
  options.flag("--quiet", common.quiet, "no progress bar");
  for (size_t i = own; i < options.all().size(); ++i) options.all()[i].is_common = true;
  options.find("--device")->verify = [](const std::string& text) {
    const bool ordinal = text.size() > 5 && text.size() < 9 && text.compare(0, 5, "cuda:") == 0 &&
                         text.find_first_not_of("0123456789", 5) == std::string::npos;
    return text == "cpu" || text == "cuda" || ordinal ? "" : "cpu, cuda or cuda:K";
  };
}

int program_main(int argc, char** argv) {
  const std::vector<std::string> line(argv, argv + argc);
  std::string command_name;
  CommandEntry* command = nullptr;
  try {
    catch_interrupts();
    CommandTable table;
    fill_table(table);
    command = Parser(table).parse({line.begin() + std::min<size_t>(1, line.size()), line.end()},
                                  command_name);
    if (command == nullptr) {
      std::cout.flush();
      return kDone;
    }
    return run_command(*command, table.common, line);
  } catch (const UsageError& error) {
    return report(command_name, error.what(), kUsage);
  } catch (const InvalidArgument& error) {  // before the run it is the command line that is wrong
    return report(command_name, error.what(), command == nullptr ? kUsage : kBadInput);
  } catch (const DataError& error) {
    return report(command_name, error.what(), kBadInput);
  } catch (const Unsupported& error) {
    return report(command_name, error.what(), kBadInput);
  } catch (const NotConverged& error) {
    return report(command_name, error.what(), kNotConverged);
  } catch (const Interrupted& error) {
    return report(command_name, error.what(), kInterrupted);
  } catch (const std::bad_alloc&) {
    return report(command_name, format_error("memory", "enough of it", "none left"), kMachine);
  } catch (const std::exception& error) {
    return report(command_name, error.what(), kMachine);
  }
}

}  // namespace ritz::app
