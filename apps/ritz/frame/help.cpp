#include "apps/ritz/frame/help.h"

#include <algorithm>
#include <sstream>

#include "apps/ritz/frame/wrap.h"
#include "ritz/base/version.h"

namespace ritz::app {
namespace {

constexpr size_t kTerm = 28;  // where the explanations start

std::string entry_line(const std::string& term, const std::string& help) {
  std::string line = "  " + term;
  if (line.size() + 2 > kTerm) {
    line += "\n" + std::string(kTerm, ' ');
  } else {
    line.resize(kTerm, ' ');
  }
  return line + wrap(help, kTerm) + "\n";
}

std::string usage_line(const CommandEntry& command) {
  std::string line = "ritz " + command.name;
  for (const auto& option : command.options.all()) {
    if (!option.is_positional) continue;
    const std::string word = option.name + (option.is_list ? "..." : "");
    line += option.is_required ? " " + word : " [" + word + "]";
  }
  return line + " [OPTIONS]";
}

// The commands and groups directly below `prefix` ("" for all), with their summaries.
std::string children(const CommandTable& table, const std::string& prefix) {
  std::string out;
  std::vector<std::string> shown;
  for (const auto& command : table.commands) {
    if (!is_below(command.name, prefix)) continue;
    const size_t start = prefix.empty() ? 0 : prefix.size() + 1;
    const std::string word = command.name.substr(start, command.name.find(' ', start) - start);
    if (std::find(shown.begin(), shown.end(), word) != shown.end()) continue;
    shown.push_back(word);
    std::string summary = command.summary;
    const std::string path = prefix.empty() ? word : prefix + " " + word;
    for (const auto& group : table.groups) {
      if (group.name == path) summary = group.summary;
    }
    out += entry_line(word, summary);
  }
  return out;
}

constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 the machine failed, 2 usage, 3 bad input, 4 did not converge, 130 "
    "interrupted.\n";

}  // namespace

bool is_below(std::string_view name, std::string_view group) {
  if (group.empty()) return true;
  return name.size() > group.size() && name.substr(0, group.size()) == group &&
         name[group.size()] == ' ';
}

std::string option_text(const Option& option) {
  std::string text = option.help;
  if (!option.choices.empty()) {
    text += ": ";
    for (const auto& choice : option.choices) {
      text += (&choice == &option.choices.front() ? "" : ", ") + choice;
    }
  }
  if (option.is_required) text += " (required)";
  if (!option.default_text.empty()) text += " [" + option.default_text + "]";
  return text;
}

std::string option_term(const Option& option) {
  if (option.is_positional) return option.name + (option.is_list ? "..." : "");
  return option.value_name.empty() ? option.name : option.name + " " + option.value_name;
}

std::string program_help(const CommandTable& table) {
  return "ritz " + std::string(version()) + ": subspace, spectral and second-order methods\n\n" +
         "Usage: ritz COMMAND [INPUT...] [OPTIONS]\n\nCommands:\n" + children(table, "") +
         "\nOptions:\n" +
         entry_line("--help", "this page; after a command, that command's options and an example") +
         entry_line("--version", "the version, and nothing else") + "\n" + kExitCodes +
         "Results go to standard output, everything else to standard error.\n";
}

std::string group_help(const CommandTable& table, const std::string& group) {
  std::string summary;
  for (const auto& entry : table.groups) {
    if (entry.name == group) summary = entry.summary;
  }
  return "ritz " + group + ": " + summary + "\n\nUsage: ritz " + group +
         " COMMAND [INPUT...] [OPTIONS]\n\nCommands:\n" + children(table, group) + "\nritz " +
         group + " COMMAND --help shows its options and an example.\n";
}

std::string command_help(const CommandTable& table, const CommandEntry& command) {
  std::string out =
      "ritz " + command.name + ": " + command.summary + "\n\nUsage: " + usage_line(command) + "\n";
  if (!command.description.empty()) out += "\n" + wrap(command.description, 0) + "\n";
  std::string inputs, own, common;
  for (const auto& option : command.options.all()) {
    std::string& section = option.is_positional ? inputs : option.is_common ? common : own;
    section += entry_line(option_term(option), option_text(option));
  }
  const std::string below = children(table, command.name);
  if (!below.empty()) out += "\nCommands:\n" + below;
  if (!inputs.empty()) out += "\nInputs:\n" + inputs;
  if (!own.empty()) out += "\nOptions:\n" + own;
  if (command.more_help) {
    const std::string more = command.more_help();
    if (!more.empty()) out += "\n" + more + (more.back() == '\n' ? "" : "\n");
  }
  out += "\nCommon options:\n" + common + "\nExample:\n";
  std::istringstream lines(command.example);
  for (std::string line; std::getline(lines, line);) out += "  " + line + "\n";
  return out;
}

}  // namespace ritz::app
