#include "apps/ritz/commands/study.h"

#include <ostream>

#include "apps/ritz/frame/run.h"
#include "studies/study.h"

namespace ritz::app {

void Study::run(Run& run) const {
  std::vector<std::vector<std::string>> rows;
  for (const auto& study : studies::all_studies()) rows.push_back({study.slug, study.title});
  run.table({"study", "title"}, rows);
}

}  // namespace ritz::app
