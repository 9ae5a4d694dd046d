// Shell completion and the man page, from the same table as --help.
#include <algorithm>

#include "apps/ritz/frame/help.h"
#include "ritz/base/version.h"

namespace ritz::app {
namespace {

bool wants_file(const Option& option) {
  return option.value_name.find("FILE") != std::string::npos ||
         (option.is_positional && option.choices.empty());
}

// "ritz spectrum" -> what may follow it: commands below it and its options.
struct Place {
  std::string path;
  std::vector<std::string> words;  // commands below
  const CommandEntry* command = nullptr;
};

std::vector<Place> places(const CommandTable& table) {
  std::vector<Place> all = {{.path = "", .words = {}}};
  const auto place_of = [&](const std::string& path) -> Place& {
    for (auto& place : all) {
      if (place.path == path) return place;
    }
    return all.emplace_back(Place{.path = path, .words = {}});
  };
  for (const auto& command : table.commands) {
    std::string above;
    for (size_t begin = 0; begin <= command.name.size();) {
      const size_t end = std::min(command.name.find(' ', begin), command.name.size());
      const std::string word = command.name.substr(begin, end - begin);
      auto& words = place_of(above).words;
      if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
      above = command.name.substr(0, end);
      begin = end + 1;
    }
    place_of(command.name).command = &command;
  }
  return all;
}

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string option_names(const Place& place) {
  std::vector<std::string> names = {"--help"};
  if (place.command != nullptr) {
    for (const auto& option : place.command->options.all()) {
      if (!option.is_positional) names.push_back(option.name);
    }
  }
  return join(names);
}

// Text between roff's macros: backslashes, and dots or quotes that would begin a macro.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

}  // namespace

// Both shells run one function: it finds the command's name among the words typed so far, then
// offers what may follow. zsh reads bash's function through bashcompinit.
std::string completion_script(const CommandTable& table, std::string_view shell) {
  std::string out = "# Completion of ritz " + std::string(version()) + " for " +
                    std::string(shell) + "; made by `ritz completion " + std::string(shell) +
                    "`.\n";
  if (shell == "zsh")
    out += "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n";
  out +=
      "_ritz() {\n"
      "  local word path= cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local words options i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    case \"$path/$word\" in\n";
  const auto all = places(table);
  for (const auto& place : all) {
    for (const auto& word : place.words) {
      out += "      '" + place.path + "/" + word + "') path='" +
             (place.path.empty() ? "" : place.path + " ") + word + "' ;;\n";
    }
  }
  out += "    esac\n  done\n  case \"$path $prev\" in\n";
  for (const auto& place : all) {
    if (place.command == nullptr) continue;
    for (const auto& option : place.command->options.all()) {
      if (option.is_flag || option.is_positional) continue;
      std::string reply;
      if (!option.choices.empty()) {
        reply = "$(compgen -W '" + join(option.choices) + "' -- \"$cur\")";
      } else if (wants_file(option) || option.wants_folder) {
        reply = std::string("$(compgen -") + (option.wants_folder ? "d" : "f") + " -- \"$cur\")";
      }
      out += "    '" + place.path + " " + option.name + "') COMPREPLY=(" + reply + "); return ;;\n";
    }
  }
  out += "  esac\n  case $path in\n";
  for (const auto& place : all) {
    std::string words = join(place.words), files;
    if (place.command != nullptr) {
      for (const auto& option : place.command->options.all()) {
        if (!option.is_positional) continue;
        if (!option.choices.empty()) words += (words.empty() ? "" : " ") + join(option.choices);
        if (wants_file(option)) files = " $(compgen -f -- \"$cur\")";
      }
    }
    out += "    '" + place.path + "')\n";
    out += "      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '" + option_names(place) +
           "' -- \"$cur\"))\n";
    out += "      else COMPREPLY=($(compgen -W '" + words + "' -- \"$cur\")" + files + "); fi ;;\n";
  }
  out += "  esac\n}\ncomplete -o filenames -F _ritz ritz\n";
  return out;
}

std::string man_page(const CommandTable& table) {
  std::string out =
      ".TH RITZ 1 \"\" \"ritz " + std::string(version()) +
      "\" \"User Commands\"\n.SH NAME\nritz \\- subspace, spectral and second\\-order methods\n"
      ".SH SYNOPSIS\n.B ritz\n.I COMMAND\n[\\fIINPUT\\fR...] [\\fIOPTIONS\\fR]\n.SH COMMANDS\n";
  for (const auto& command : table.commands) {
    out += ".SS \"ritz " + roff(command.name) + "\"\n" + roff(command.summary) + ".\n";
    if (!command.description.empty()) out += ".PP\n" + roff(command.description) + "\n";
    for (const auto& option : command.options.all()) {
      if (option.is_common) continue;
      out += ".TP\n\\fB" + roff(option_term(option)) + "\\fR\n" + roff(option_text(option)) + "\n";
    }
    if (command.more_help) out += ".PP\n.nf\n" + roff(command.more_help()) + "\n.fi\n";
    out += ".PP\nExample:\n.PP\n.nf\n.RS\n" + roff(command.example) + "\n.RE\n.fi\n";
  }
  out += ".SH COMMON OPTIONS\n";
  for (const auto& option : table.commands.front().options.all()) {
    if (option.is_common)
      out += ".TP\n\\fB" + roff(option_term(option)) + "\\fR\n" + roff(option_text(option)) + "\n";
  }
  out +=
      ".SH EXIT STATUS\n0 done, 1 the machine failed, 2 usage, 3 bad input, 4 did not converge or "
      "diverged, "
      "130 interrupted.\n";
  return out;
}

}  // namespace ritz::app
