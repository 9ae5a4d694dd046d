// without libtorch
#include "apps/ritz/commands/completion.h"

#include <ostream>

#include "apps/ritz/frame/help.h"
#include "apps/ritz/frame/run.h"

namespace ritz::app {

void Completion::run(Run& run) const {
  CommandTable table;
  fill_table(table);
  run.text() << (shell == "man" ? man_page(table) : completion_script(table, shell));
}

}  // namespace ritz::app
