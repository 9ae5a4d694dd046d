#include "apps/ritz/commands/generated.h"

#include <ostream>

#include "ritz/base/atomic_file.h"

namespace ritz::app {
namespace {

std::string truth_path(const std::string& out) {
  return out.substr(0, out.rfind('.')) + ".truth.json";
}

}  // namespace

void check_generated_targets(const Run& run) {
  io::check_array_target(run.common.out, run.common.force);
  run.check_target(truth_path(run.common.out));
}

void write_generated(Run& run, const std::vector<io::Array>& arrays, Json truth) {
  truth["generator"] = run.command.substr(run.command.rfind(' ') + 1);
  truth["seed"] = run.common.seed;
  io::write_arrays(run.common.out, arrays, {.force = run.common.force});
  AtomicFile file(truth_path(run.common.out), run.common.force);
  file.write(json_text(truth));
  file.commit();
  for (const auto& array : arrays)
    run.text() << run.common.out << "  " << io::describe(array) << '\n';
  run.text() << truth_path(run.common.out) << '\n';
  run.json()["out"] = run.common.out;
  run.json()["truth"] = truth;
}

}  // namespace ritz::app
