// without libtorch
#include "apps/ritz/commands/data_convert.h"

#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "ritz/base/error.h"
#include "ritz/base/interrupt.h"
#include "ritz/io/array_file.h"

namespace ritz::app {

void DataConvert::run(Run& run) const {
  if (to == "-" && run.common.json == "-") {
    throw UsageError("--json", "another target than OUT", "'-' twice");
  }
  io::check_array_target(to, run.common.force);
  const auto arrays = io::read_arrays(in);
  for (const auto& array : arrays) run.input(in, array);
  check_interrupt(to + " was not written");
  io::write_arrays(to, arrays, {.force = run.common.force, .compress = compress});
  run.json()["out"] = to;
  if (to == "-") return;
  for (const auto& array : arrays) {
    run.text() << to << (array.name.empty() ? "" : ":") << array.name << "  " << io::describe(array)
               << '\n';
  }
}

}  // namespace ritz::app
