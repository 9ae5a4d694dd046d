#pragma once
// --help, shell completion and the man page: three readings of the one table of commands.
#include <string>
#include <string_view>

#include "apps/ritz/frame/command_line.h"

namespace ritz::app {

/// `ritz --help`
std::string program_help(const CommandTable& table);
/// `ritz data --help`
std::string group_help(const CommandTable& table, const std::string& group);
/// `ritz data info --help`
std::string command_help(const CommandTable& table, const CommandEntry& command);

/// A completion script; `shell` is bash or zsh.
std::string completion_script(const CommandTable& table, std::string_view shell);
/// ritz.1 in man's macros.
std::string man_page(const CommandTable& table);

/// "--steps M" as help shows it.
std::string option_term(const Option& option);
/// Its explanation with choices and default.
std::string option_text(const Option& option);
/// Does `name` start with the words of `group`? ("spectrum scaling" is below "spectrum")
bool is_below(std::string_view name, std::string_view group);

}  // namespace ritz::app
