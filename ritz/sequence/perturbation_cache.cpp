#include <torch/types.h>

#include <cstdlib>
#include <filesystem>

#include "ritz/base/check.h"
#include "ritz/base/random.h"
#include "ritz/base/version.h"
#include "ritz/io/array_file.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/perturbation.h"

namespace ritz::sequence {
namespace {

namespace fs = std::filesystem;

/// Empty where there is no home either.
fs::path cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && cache[0] == '/')
    return fs::path(cache) / "ritz";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return fs::path(home) / ".cache" / "ritz";
  return {};
}

/// Everything that the result depends on.
std::string key_of(int64_t n, const PerturbationOptions& o) {
  const auto text = [](double value) { return number_text(value); };
  return "ritz " + std::string(version()) + " perturb_hippo n=" + std::to_string(n) +
         " rho=" + text(o.rho) + " abscissa=" + text(o.abscissa.value_or(-1)) +
         " penalty=" + text(o.penalty) + " unit=" + text(o.unit) +
         " conditioning=" + std::to_string(static_cast<int>(o.conditioning)) +
         " steps=" + std::to_string(o.steps) + " restarts=" + std::to_string(o.restarts) +
         " rate=" + text(o.learning_rate) + " real=" + std::to_string(o.real) +
         " seed=" + std::to_string(o.seed);
}

std::string hex(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value /= 16) text[i] = "0123456789abcdef"[value % 16];
  return text;
}

// E is kept by its parts, as the format has no complex128; the starts as rows.
Tensor starts_table(const Perturbation& made) {
  Tensor table = torch::empty({static_cast<int64_t>(made.starts.size()), 4}, torch::kFloat64);
  for (size_t i = 0; i < made.starts.size(); ++i) {
    const auto& s = made.starts[i];
    table[static_cast<int64_t>(i)] =
        torch::tensor({s.loss, s.kappa, s.max_real, s.sup_error}, torch::kFloat64);
  }
  return table;
}

std::optional<Perturbation> read(const std::string& path, const std::string& key, int64_t n) {
  try {
    if (!fs::exists(path)) return {};
    const auto file = io::read_safetensors(path);
    if (file.metadata.at("key") != key) return {};
    Tensor re, im, starts, counts;
    for (const auto& array : file.arrays) {
      const Tensor values = io::to_tensor(array).clone();
      if (array.name == "E_re") re = values;
      if (array.name == "E_im") im = values;
      if (array.name == "starts") starts = values;
      if (array.name == "counts") counts = values;
    }
    if (!re.defined() || !starts.defined() || !counts.defined() ||
        re.sizes() != at::IntArrayRef{n, n})
      return {};
    Perturbation made = perturb_hippo_with(im.defined() ? torch::complex(re, im) : re);
    for (int64_t i = 0; i < starts.size(0); ++i)
      made.starts.push_back({starts[i][0].item<double>(), starts[i][1].item<double>(),
                             starts[i][2].item<double>(), starts[i][3].item<double>()});
    made.chosen = counts[0].item<int64_t>();
    made.jitters = counts[1].item<int64_t>();
    return made;
  } catch (const std::exception&) {
    return {};  // a torn or foreign file: it is made again and replaced
  }
}

void write(const fs::path& path, const std::string& key, const Perturbation& made) {
  try {
    fs::create_directories(path.parent_path());
    std::vector<io::Array> arrays{io::to_array("E_re", torch::real(made.E).contiguous())};
    if (made.E.is_complex())
      arrays.push_back(io::to_array("E_im", torch::imag(made.E).contiguous()));
    arrays.push_back(io::to_array("starts", starts_table(made)));
    arrays.push_back(
        io::to_array("counts", torch::tensor({made.chosen, made.jitters}, torch::kInt64)));
    io::write_arrays(path, arrays, {.force = true, .metadata = {{"key", key}}});
  } catch (const std::exception&) {  // a full disk or a folder of somebody else's: no cache then
  }
}

}  // namespace

Perturbation cached_hippo(int64_t n, const PerturbationOptions& options, bool* found) {
  if (found != nullptr) *found = false;
  const fs::path folder = cache_folder();
  if (options.generator != Generator::optimised || folder.empty()) return perturb_hippo(n, options);
  const std::string key = key_of(n, options);
  const fs::path path =
      folder / ("hippo-" + std::to_string(n) + "-" + hex(stream_id(key)) + ".safetensors");
  if (auto kept = read(path, key, n)) {
    if (found != nullptr) *found = true;
    if (!options.allow_unstable) require_stable(*kept);
    return *kept;
  }
  auto wanted = options;
  wanted.allow_unstable = true;
  const auto made = perturb_hippo(n, wanted);
  write(path, key, made);
  if (!options.allow_unstable) require_stable(made);
  return made;
}

}  // namespace ritz::sequence
