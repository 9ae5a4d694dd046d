// without libtorch
#include "apps/ritz/commands/data_info.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <variant>

#include "apps/ritz/frame/run.h"
#include "ritz/base/check.h"
#include "ritz/base/interrupt.h"
#include "ritz/io/array_file.h"
#include "ritz/io/summary.h"

namespace ritz::app {
namespace {

Json json_of(const std::optional<io::Number>& number) {
  if (!number) return nullptr;
  return std::visit([](auto value) { return Json(value); }, *number);
}

std::string text_of(const std::optional<io::Number>& number) {
  if (!number) return "-";
  if (const auto* real = std::get_if<double>(&*number)) return short_text(*real);
  return std::visit([](auto value) { return std::to_string(value); }, *number);
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out;
  for (const auto n : shape) out += (out.empty() ? "" : ", ") + std::to_string(n);
  return "[" + out + "]";
}

}  // namespace

void DataInfo::run(Run& run) const {
  const int threads = static_cast<int>(run.common.threads);
  run.threads = threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
  Json arrays = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const auto& path : files) {
    const std::string file = io::parse_array_path(path).file;
    for (const auto& array : io::read_arrays(path)) {
      check_interrupt(path);
      const auto summary = io::summarise(array, threads);
      run.input(file + (array.name.empty() ? "" : ":" + array.name), array);
      arrays.push_back({{"file", file},
                        {"name", array.name},
                        {"shape", array.shape},
                        {"dtype", io::name_of(array.dtype)},
                        {"min", json_of(summary.min)},
                        {"max", json_of(summary.max)},
                        {"nan", summary.nan}});
      rows.push_back({file, array.name, shape_text(array.shape),
                      std::string(io::name_of(array.dtype)), text_of(summary.min),
                      text_of(summary.max), std::to_string(summary.nan)});
    }
  }
  run.json()["arrays"] = arrays;
  run.table({"file", "name", "shape", "dtype", "min", "max", "nan"}, rows);
}

}  // namespace ritz::app
