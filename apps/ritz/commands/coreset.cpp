#include "apps/ritz/commands/coreset.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "ritz/base/check.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/io/array_file.h"
#include "ritz/io/npz.h"
#include "ritz/io/tensor.h"
#include "ritz/rows/lp_sensitivity.h"

namespace ritz::app {
namespace {

Tensor as_floating(const Tensor& values, const std::string& path, Run& run) {
  if (values.is_complex()) throw DataError("array", "real numbers", "complex ones", path);
  auto dtype = values.scalar_type();
  if (!values.is_floating_point()) {
    dtype = torch::kFloat64;
    run.warn("integers", path + ": integers were converted to float64");
  } else if (dtype != torch::kFloat64) {
    dtype = torch::kFloat32;
  }
  if (run.common.dtype == "float32") dtype = torch::kFloat32;
  if (run.common.dtype == "float64") dtype = torch::kFloat64;
  return values.to(torch::Device(run.common.device), dtype);
}

// Rows of a file; SciPy's sparse ones are spread out, as all that follows is d x d and dense.
Tensor load_matrix(const std::string& path, Run& run) {
  if (path.ends_with(".npz") && io::is_sparse_npz(io::list_arrays(path))) {
    const auto csr = io::read_csr_npz(path);
    run.input(path, {csr.rows, csr.cols}, io::name_of(csr.data.dtype));
    const auto values = as_floating(io::to_tensor(csr.data), path, run);
    const auto counts = io::to_tensor(csr.indptr).diff();
    const auto row = torch::arange(csr.rows).repeat_interleave(counts);
    auto dense = torch::zeros({csr.rows, csr.cols}, values.options());
    return dense.index_put_({row.to(dense.device()), io::to_tensor(csr.indices).to(dense.device())},
                            values, /*accumulate=*/true);
  }
  const auto array = io::read_array(path);
  run.input(path, array);
  const auto values = as_floating(io::to_tensor(array), path, run);
  if (values.dim() != 2 || values.numel() == 0)
    throw DataError("A", "a matrix with rows and columns", io::describe(array), path);
  return values;
}

Tensor load_vector(const std::string& path, int64_t n, const Tensor& like, Run& run) {
  const auto array = io::read_array(path);
  run.input(path, array);
  const auto values = as_floating(io::to_tensor(array), path, run).to(like.options());
  if (values.numel() != n || values.dim() > 2 || (values.dim() == 2 && values.size(1) != 1))
    throw DataError("b", "a number for each of the " + std::to_string(n) + " rows of A",
                    io::describe(array), path);
  return values.reshape({n});
}

rows::CoresetOptions options_of(const CoresetSampling& sampling, double p, const Run& run) {
  rows::CoresetOptions options;
  options.p = p;
  options.score = sampling.scores ? rows::parse_score(*sampling.scores)
                  : p <= 2        ? rows::ScoreKind::root_leverage
                                  : rows::ScoreKind::sensitivity;
  options.size = {.rows = static_cast<double>(sampling.rows.value_or(0)),
                  .eps = sampling.eps.value_or(0),
                  .delta = sampling.delta,
                  .log_factor = sampling.log_factor};
  options.sampler = rows::parse_sampler(sampling.sampler);
  options.recursive = sampling.recursive;
  options.seed = run.common.seed;
  return options;
}

bool holds_many_arrays(const std::string& path) {
  return !path.ends_with(".csv") && path != "-";
}

void warn_about_guarantee(const rows::CoresetOptions& options, Run& run) {
  using rows::ScoreKind;
  const bool none = options.score == ScoreKind::uniform || options.score == ScoreKind::row_norm ||
                    (options.score == ScoreKind::leverage && options.p != 2);
  if (none && options.size.eps > 0)
    run.warn("no_guarantee", "no theory bounds the error of " +
                                 std::string(rows::score_name(options.score)) +
                                 " sampling for this p: --eps only sets the size");
}

Json numbers(const Tensor& vector) {
  const auto values = vector.to(torch::kCPU, torch::kFloat64).contiguous();
  return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
}

// Total and largest sensitivity, from the scores where they are sensitivities, else from a few
// rows.
void report_sensitivities(const rows::RowBasis& basis, const rows::Sensitivities& known,
                          const rows::SensitivityOptions& options, bool estimate, Run& run,
                          double& certificate) {
  Json& json = run.json();
  if (known.sigma.defined()) {
    run.value("total_sensitivity", known.total,
              known.method == rows::SensitivityMethod::exact ? "exact"
                                                             : "from a Lewis sample of the rows");
    json["total_sensitivity_se"] = known.total_se;
    run.value("max_sensitivity", known.largest);
    certificate = std::max(certificate, known.gap);
    if (known.unconverged > 0)
      run.warn("gap", std::to_string(known.unconverged) + " of " + std::to_string(known.solves) +
                          " minimisations stopped above their tolerance; the worst gap is in "
                          "`certificate`");
    if (known.outside > 0)
      run.warn("outside", std::to_string(known.outside) +
                              " rows lie outside the Lewis sample's row space: their sensitivity "
                              "is taken as 1");
    return;
  }
  if (!estimate) {
    json["total_sensitivity"] = json["total_sensitivity_se"] = json["max_sensitivity"] = nullptr;
    return;
  }
  const auto lewis = rows::lewis_weights(basis, {.p = options.p, .tolerance = 1e-4});
  const auto total = rows::total_sensitivity(basis, lewis.weights, options);
  const auto most = rows::maximum_sensitivity(basis, lewis.weights, options);
  run.value("total_sensitivity", total.value,
            "estimated from " + std::to_string(total.samples) + " rows");
  run.value("total_sensitivity_se", total.standard_error);
  run.value("max_sensitivity", most.lower, "row " + std::to_string(most.row));
  certificate = std::max({certificate, total.gap, most.gap});
}

}  // namespace

void Coreset::run(Run& run) const {
  const auto& common = run.common;
  if (!common.out.empty()) io::check_array_target(common.out, common.force);
  if (!scores_out.empty()) {
    io::check_array_target(scores_out, common.force);
    run.check_target(scores_out, "--scores-out");
  }
  const auto A = load_matrix(matrix, run);
  const int64_t n = A.size(0), d = A.size(1);
  const auto b = regress.empty() ? Tensor() : load_vector(regress, n, A, run);
  const auto M = b.defined() ? torch::cat({A, b.unsqueeze(1)}, 1) : A;

  Progress progress(run.shows_progress());
  auto options = options_of(sampling, p, run);
  options.sensitivities = exact         ? rows::SensitivityMethod::exact
                          : approximate ? rows::SensitivityMethod::approximate
                                        : rows::SensitivityMethod::automatic;
  options.sample_rows = sample_rows;
  options.progress = [&](int64_t done, int64_t total) {
    progress.update("sensitivities", done, total);
    check_interrupt("sensitivities of " + std::to_string(done) + " rows");
  };
  const bool only_scores = !sampling.rows && !sampling.eps;
  if (only_scores) options.size.rows = static_cast<double>(n);
  warn_about_guarantee(options, run);
  const auto kept = rows::coreset(M, options);
  progress.clear();

  const auto basis = rows::row_basis(M);
  Json& json = run.json();
  json["p"] = p;
  json["scores"] = rows::score_name(options.score);
  run.value("rows", only_scores ? n : kept.indices.size(0), "of " + std::to_string(n));
  run.value("rank", basis.rank);
  if (n < d) run.warn("few_rows", "A has fewer rows than columns");
  if (basis.rank < std::min(n, M.size(1)))
    run.warn("rank_deficient", "the rank is " + std::to_string(basis.rank) + " of " +
                                   std::to_string(M.size(1)) + " columns: it takes their place");
  if (basis.zero_rows > 0)
    run.warn("zero_rows", std::to_string(basis.zero_rows) + " rows of zeros have score 0");

  double certificate = -1;  // nothing minimised yet
  const rows::SensitivityOptions sensitivity{
      .p = p, .method = options.sensitivities, .sample_rows = sample_rows, .seed = common.seed};
  report_sensitivities(basis, kept.scores.sensitivities, sensitivity, !no_totals, run, certificate);
  run.value("effective_rows", kept.effective_rows, "(sum w)^2 / sum w^2");
  const auto& sigma = kept.scores.sensitivities.sigma;
  json["largest_share"] =
      sigma.defined()
          ? Json((sigma.cpu().index_select(0, kept.indices) * kept.weights).max().item<double>())
          : Json();
  json["sizes"] = kept.sizes;
  if (kept.sizes.size() > 1) {
    run.text() << "rounds";
    for (const auto size : kept.sizes) run.text() << ' ' << size;
    run.text() << '\n';
  }

  if (verify) {
    progress.update("verifying", 0, 0);
    const auto check =
        rows::verify_embedding(A, kept.indices, kept.weights, {.p = p, .seed = common.seed});
    progress.clear();
    run.value("distortion_lower", check.distortion, "attained by the witness");
    json["witness"] = numbers(check.witness);
    json["ratio"] = check.ratio;
    json["starts"] = check.starts;
    if (check.surrogate)
      run.warn(
          "surrogate",
          "the search went over a Lewis sample of A; what it found was measured over all rows");
  }
  bool converged = true;
  if (b.defined()) {
    const auto few = A.index_select(0, kept.indices.to(A.device()));
    const auto target = b.index_select(0, kept.indices.to(b.device()));
    const auto fit = rows::lp_regression(few, target, {.p = p}, kept.weights.to(A.device()));
    json["solution"] = numbers(fit.solution);
    run.value("objective", rows::lp_residual_norm(A, fit.solution, b, p),
              "||A x - b||_p, all rows");
    run.value("duality_gap", fit.gap, "relative, on the coreset");
    certificate = std::max(certificate, fit.gap);
    converged = fit.converged;
    run.table({"column", "solution"}, [&] {
      std::vector<std::vector<std::string>> lines;
      for (int64_t j = 0; j < d; ++j)
        lines.push_back({std::to_string(j), short_text(fit.solution[j].item<double>())});
      return lines;
    }());
  }
  if (certificate < 0)
    json["certificate"] = nullptr;
  else
    run.value("certificate", certificate, "largest relative duality gap of all minimisations");

  if (!scores_out.empty())
    io::write_arrays(scores_out, {io::to_array("scores", kept.scores.score.cpu())},
                     {.force = common.force});
  if (!common.out.empty()) {
    std::vector<io::Array> arrays = {io::to_array("indices", kept.indices),
                                     io::to_array("weights", kept.weights)};
    if (holds_many_arrays(common.out)) {
      const auto index = kept.indices.to(A.device());
      arrays.push_back(io::to_array("rows", A.index_select(0, index)));
      if (b.defined()) arrays.push_back(io::to_array("targets", b.index_select(0, index)));
      arrays.push_back(io::to_array("p", torch::full({1}, p, torch::kFloat64)));
      arrays.push_back(io::to_array("n", torch::full({1}, n, torch::kInt64)));
    }
    io::write_arrays(common.out, arrays, {.force = common.force});
  }
  if (!converged) run.not_converged("regression: the duality gap stayed above its tolerance");
}

namespace {

struct Part {
  rows::WeightedRows kept;
  bool has_targets = false;
  double p = 1;
  int64_t n = 0;
};

Part load_part(const std::string& path, Run& run) {
  Part part;
  Tensor rows, targets;
  for (const auto& array : io::read_arrays(path)) {
    const auto values = io::to_tensor(array);
    // MAT files know no vectors: [m, 1] and [1, 1] are taken for what they were.
    if (array.name == "rows") rows = values;
    if (array.name == "targets") targets = values.reshape({-1});
    if (array.name == "weights") part.kept.weights = values.reshape({-1}).to(torch::kFloat64);
    if (array.name == "indices") part.kept.ids = values.reshape({-1}).to(torch::kInt64);
    if (array.name == "p" && values.numel() == 1) part.p = values.reshape({1}).item<double>();
    if (array.name == "n" && values.numel() == 1) part.n = values.reshape({1}).item<int64_t>();
  }
  if (!rows.defined() || !part.kept.weights.defined() || !part.kept.ids.defined() || part.n == 0)
    throw DataError("part", "arrays rows, weights, indices, p and n, as `ritz coreset` writes them",
                    "a file without some of them", path);
  if (rows.dim() != 2 || rows.size(0) != part.kept.weights.size(0) ||
      part.kept.ids.size(0) != rows.size(0) ||
      (targets.defined() && targets.size(0) != rows.size(0)))
    throw DataError("part", "as many rows as weights and indices", "other numbers of them", path);
  rows = as_floating(rows, path, run);
  run.input(path, {rows.size(0), rows.size(1)},
            rows.scalar_type() == torch::kFloat32 ? "float32" : "float64");
  part.has_targets = targets.defined();
  part.kept.rows =
      targets.defined() ? torch::cat({rows, targets.to(rows.options()).unsqueeze(1)}, 1) : rows;
  return part;
}

}  // namespace

void CoresetMerge::run(Run& run) const {
  io::check_array_target(run.common.out, run.common.force);
  if (!holds_many_arrays(run.common.out))
    throw UsageError("--out", "a format that holds several arrays (.npz, .h5, ...)",
                     run.common.out);
  std::vector<rows::WeightedRows> all;
  int64_t n = 0;
  double p = 1;
  bool targets = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    auto part = load_part(parts[i], run);
    if (i == 0) p = part.p, targets = part.has_targets;
    if (part.p != p) throw DataError("p", number_text(p), number_text(part.p), parts[i]);
    if (part.has_targets != targets || (i > 0 && part.kept.rows.size(1) != all[0].rows.size(1)))
      throw DataError("columns", "those of " + parts[0], "others", parts[i]);
    if (i > 0) part.kept.rows = part.kept.rows.to(all[0].rows.options());
    part.kept.ids = part.kept.ids + n;
    n += part.n;
    all.push_back(part.kept);
  }
  const auto options = options_of(sampling, p, run);
  warn_about_guarantee(options, run);
  const auto joined = rows::merge_coresets(all, options);
  run.json()["p"] = p;
  run.json()["scores"] = rows::score_name(options.score);
  run.value("rows", joined.ids.size(0), "of " + std::to_string(n));
  run.value("effective_rows", rows::effective_rows(joined.weights), "(sum w)^2 / sum w^2");
  run.json()["parts"] = parts.size();
  const int64_t d = joined.rows.size(1) - (targets ? 1 : 0);
  std::vector<io::Array> arrays = {io::to_array("indices", joined.ids),
                                   io::to_array("weights", joined.weights),
                                   io::to_array("rows", joined.rows.slice(1, 0, d))};
  if (targets) arrays.push_back(io::to_array("targets", joined.rows.select(1, d)));
  arrays.push_back(io::to_array("p", torch::full({1}, p, torch::kFloat64)));
  arrays.push_back(io::to_array("n", torch::full({1}, n, torch::kInt64)));
  io::write_arrays(run.common.out, arrays, {.force = run.common.force});
}

}  // namespace ritz::app
