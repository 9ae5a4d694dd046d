#pragma once
// From argv to one command with its options set, and the program's ways to end.
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

/// One command of the table, its type erased.
struct CommandEntry {
  std::string name;  // "data info"
  std::string summary;
  std::string description;  // may be empty
  std::string example;
  Options options;
  std::function<std::string()> more_help;
  std::function<void()> check;
  std::function<void(Run&)> run;
};

/// A word that only groups commands ("data").
struct GroupEntry {
  std::string name;
  std::string summary;
};

struct CommandTable {
  std::deque<CommandEntry> commands;  // in the order of --help
  std::vector<GroupEntry> groups;
  CommonOptions common;  // what every command's common options are bound to
};

/// Adds --json, --seed and the others to a command's options, bound to `common`.
void declare_common(Options& options, CommonOptions& common);

/// The table with every command of apps/ritz/commands.h; reads nothing.
void fill_table(CommandTable& table);

/// The whole program: parse, run, report. Returns the exit code; throws nothing.
int program_main(int argc, char** argv);

}  // namespace ritz::app
