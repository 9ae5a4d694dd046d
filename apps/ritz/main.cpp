// The ritz executable: the table of commands, their options and help. It does not link libtorch.
#include <memory>
#include <type_traits>

#include "apps/ritz/commands.h"
#include "apps/ritz/frame/command_line.h"
#include "apps/ritz/frame/library.h"
#include "apps/ritz/frame/run.h"

namespace ritz::app {
namespace {

template <typename C>
void add_command(CommandTable& table) {
  const auto command = std::make_shared<C>();
  CommandEntry& entry = table.commands.emplace_back();
  entry.name = C::kName;
  entry.summary = C::kSummary;
  entry.example = C::kExample;
  if constexpr (requires { C::kDescription; }) entry.description = C::kDescription;
  entry.options.out = &table.common.out;
  command->declare(entry.options);
  declare_common(entry.options, table.common);
  if constexpr (requires { command->check(); }) entry.check = [command] { command->check(); };
  if constexpr (requires { command->more_help(); })
    entry.more_help = [command] { return command->more_help(); };
  if constexpr (kRunsWithoutTorch<C>) {
    entry.run = [command](Run& run) { command->run(run); };
  } else {
    entry.run = [command](Run& run) { run_in_library(C::kName, command.get(), run); };
  }
}

template <typename... C>
void add_commands(CommandTable& table, std::type_identity<std::tuple<C...>>) {
  (add_command<C>(table), ...);
}

}  // namespace

void fill_table(CommandTable& table) {
  for (const auto& group : kGroups)
    table.groups.push_back({std::string(group.name), std::string(group.summary)});
  add_commands(table, std::type_identity<Commands>());
}

}  // namespace ritz::app

int main(int argc, char** argv) {
  return ritz::app::program_main(argc, argv);
}
