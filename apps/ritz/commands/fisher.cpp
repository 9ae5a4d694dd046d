#include "apps/ritz/commands/fisher.h"

#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/ritz/frame/run.h"
#include "ritz/base/check_tensor.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/optim/inverse_fisher.h"

namespace ritz::app {
namespace {

/// An array of real numbers; integers become float64 with a note.
Tensor load_numbers(const char* what, const std::string& path, Run& run) {
  const auto array = io::read_array(path);
  run.input(path, array);
  Tensor values = io::to_tensor(array);
  if (values.is_complex()) throw DataError(what, "real numbers", "complex ones", path);
  if (!values.is_floating_point()) {
    run.warn("integers", path + ": integers were converted to float64");
    values = values.to(at::kDouble);
  }
  return values.to(c10::Device(run.common.device));
}

Tensor load_gradients(const FisherOptions& options, Run& run) {
  const Tensor G = load_numbers("gradients", options.gradients, run);
  if (G.dim() != 2 || G.numel() == 0) {
    throw DataError("gradients", "rows [m, d], m and d at least 1", describe(G), options.gradients);
  }
  return G;
}

/// Said when the answer is there: an error prints nothing before it.
void report_inputs(Run& run, const FisherOptions& options, int64_t m, int64_t d) {
  run.value("parameters", d, "d");
  run.value("gradients", m, "m");
  run.value("damping", options.damping, "lambda");
  run.json()["block"] = options.block == "none" ? Json() : Json(block_width(options.block));
}

optim::InverseFisherOptions inverse_options(const FisherOptions& options, const Run& run) {
  optim::InverseFisherOptions inverse{.damping = options.damping,
                                      .block = block_width(options.block),
                                      .segments = options.segments,
                                      .memory_limit = options.memory_limit};
  if (!run.common.dtype.empty()) {
    inverse.compute = run.common.dtype == "float64" ? at::kDouble : at::kFloat;
  }
  return inverse;
}

optim::InverseFisher load_inverse(const FisherOptions& options, Run& run) {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  const Tensor G = load_gradients(options, run);
  optim::InverseFisher inverse(G, inverse_options(options, run));
  return inverse;
}

/// Reports what was asked and writes the answer.
void finish(Run& run, const FisherOptions& options, const optim::InverseFisher& inverse,
            const char* name, const Tensor& values) {
  report_inputs(run, options, inverse.gradients(), inverse.rows());
  run.json()["paged"] = inverse.paged();
  if (run.common.out.empty()) return;
  io::write_arrays(run.common.out, {io::to_array(name, values)}, {.force = run.common.force});
}

Tensor indices(const std::vector<int64_t>& all, int64_t d) {
  for (const int64_t each : all) {
    if (each >= d) {
      throw InvalidArgument("--at", "coordinates from 0 to " + std::to_string(d - 1),
                            std::to_string(each));
    }
  }
  return at::tensor(all, at::kLong);
}

}  // namespace

void FisherIhvp::run(Run& run) const {
  const auto inverse = load_inverse(fisher, run);
  const Tensor given = load_numbers("x", x, run);
  if (given.dim() < 1 || given.dim() > 2 || given.size(0) != inverse.rows()) {
    throw DataError("x", "[d] or [d, k] with d = " + std::to_string(inverse.rows()),
                    describe(given), x);
  }
  const Tensor v = given.to(inverse.options());
  check_finite("x", v);
  const Tensor y = inverse.apply(v);
  finish(run, fisher, inverse, "y", y);
  const double norm = v.norm().item<double>(), found = y.norm().item<double>();
  run.value("norm_x", norm);
  run.value("norm", found, "of F^-1 x");
  // x / lambda - ... cancels so many digits.
  const double lost = norm > 0 ? std::log10(norm / (fisher.damping * found)) : 0;
  const double digits = v.scalar_type() == at::kDouble ? 15.9 : 7.2;
  run.json()["digits"] = std::max(0.0, digits - std::max(0.0, lost));
  if (digits - lost < 3) {
    run.warn("cancellation", "about " +
                                 std::to_string(static_cast<int>(std::max(0.0, digits - lost))) +
                                 " digits remain of F^-1 x" +
                                 (v.scalar_type() == at::kDouble ? "; take a larger --damping"
                                                                 : "; take --dtype float64"));
  }
}

void FisherDiag::run(Run& run) const {
  const auto inverse = load_inverse(fisher, run);
  const Tensor diagonal = inverse.diagonal();
  finish(run, fisher, inverse, "diagonal", diagonal);
  run.value("trace", diagonal.sum(at::kDouble).item<double>(), "of F^-1");
  run.value("min", diagonal.min().item<double>());
  run.value("max", diagonal.max().item<double>(), "at most 1 / lambda");
}

void FisherColumns::run(Run& run) const {
  const auto inverse = load_inverse(fisher, run);
  const Tensor columns = inverse.columns(indices(at, inverse.rows()));
  finish(run, fisher, inverse, "columns", columns);
  run.json()["at"] = at;
  std::vector<double> norms;
  for (int64_t k = 0; k < columns.size(1); ++k) {
    norms.push_back(columns.select(1, k).norm().item<double>());
  }
  run.json()["norms"] = norms;
  std::vector<std::vector<std::string>> rows;
  for (size_t k = 0; k < at.size(); ++k) {
    rows.push_back({std::to_string(at[k]), short_text(norms[k])});
  }
  run.table({"column", "norm"}, rows);
}

void FisherElements::run(Run& run) const {
  const auto inverse = load_inverse(fisher, run);
  const Tensor pairs = indices(parse_pairs(at), inverse.rows()).view({-1, 2});
  const Tensor values = inverse.elements(pairs.select(1, 0), pairs.select(1, 1));
  finish(run, fisher, inverse, "elements", values);
  Json at_json = Json::array(), value_json = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (int64_t n = 0; n < values.size(0); ++n) {
    const auto j = pairs[n][0].item<int64_t>(), k = pairs[n][1].item<int64_t>();
    const double value = values[n].item<double>();
    at_json.push_back({j, k});
    value_json.push_back(value);
    rows.push_back({std::to_string(j), std::to_string(k), short_text(value)});
  }
  run.json()["at"] = at_json;
  run.json()["elements"] = value_json;
  run.table({"j", "k", "[F^-1]_jk"}, rows);
}

void FisherSpectrumCommand::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  const Tensor G = load_gradients(fisher, run);
  const auto spectrum = optim::fisher_spectrum(G, inverse_options(fisher, run));
  report_inputs(run, fisher, G.size(0), G.size(1));
  if (!run.common.out.empty()) {
    io::write_arrays(run.common.out, {io::to_array("eigenvalues", spectrum.eigenvalues)},
                     {.force = run.common.force});
  }
  const Tensor& values = spectrum.eigenvalues;
  run.value("lambda_max", values[0].item<double>());
  run.value("at_damping", spectrum.at_damping, "further eigenvalues, each lambda");
  run.value("trace", spectrum.trace);
  run.value("trace_of_inverse", spectrum.trace_of_inverse);
  run.value("log_det", spectrum.log_det);
  run.json()["eigenvalues"] = std::vector<double>(values.const_data_ptr<double>(),
                                                  values.const_data_ptr<double>() + values.numel());
}

}  // namespace ritz::app
