#include "apps/ritz/commands/design.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/commands/design_space.h"
#include "apps/ritz/frame/run.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/check.h"
#include "ritz/design/design_file.h"
#include "ritz/design/least_squares.h"
#include "ritz/design/plan.h"
#include "ritz/io/array_file.h"
#include "ritz/io/plot.h"
#include "ritz/io/tensor.h"

namespace ritz::app {
namespace {

using design::Event;
using design::Method;
using design::Weights;

design::DesignOptions design_options(const DesignPoints& line, const design::Space& space,
                                     const Run& run) {
  const bool boosted = line.method == "boosted";
  design::DesignOptions options{.method = boosted ? Method::iid : design::parse_method(line.method),
                                .points = line.points.value_or(0),
                                .event = design::parse_event(line.event),
                                .delta = line.delta,
                                .max_redraws = line.max_redraws,
                                .boost = line.boost.value_or(boosted ? 100 : 1),
                                .greedy = line.greedy,
                                .keep = line.keep.value_or(0),
                                .seed = run.common.seed,
                                .tensor = tensor_options(run, torch::kFloat64)};
  if (line.weights != "optimal") {
    options.weights = Weights::mixture;
    options.kernel =
        design::kernel_diagonal(line.weights == "linf" ? "uniform" : line.weights.substr(5), space);
  }
  return options;
}

// T1 (T1' for a thinned design), or T2 and T3 for mixtures; T1 needs P(S), for which the designs
// drawn are counted.
Json bound_of(const design::Design& made, const design::DesignOptions& options, int64_t m,
              std::optional<double> probability) {
  if (options.event == Event::none) return {};
  if (options.weights == Weights::mixture)
    return design::uniform_error_bound(options.delta, made.mixture);
  if (!probability || *probability <= 0) return {};
  if (made.removed > 0) {
    const auto kept = static_cast<double>(made.size());
    return design::stable_error_bound(
        options.delta, *probability,
        static_cast<double>(options.boost * (made.size() + made.removed)) / kept);
  }
  return design::expected_error_bound(m, made.size(), options.delta, *probability, options.boost);
}

Json quantiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  Json out;
  for (const auto& [name, q] : {std::pair{"min", 0.0},
                                {"p10", 0.1},
                                {"p25", 0.25},
                                {"p50", 0.5},
                                {"p75", 0.75},
                                {"p90", 0.9},
                                {"max", 1.0}}) {
    out[name] =
        values[static_cast<size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
  }
  return out;
}

void report_pilot(Run& run, const design::Pilot& pilot) {
  std::vector<double> miss;
  for (const auto& made : pilot.designs)
    miss.push_back(design::deviation(Event::two_sided, made.eigenvalues));
  const Json low = quantiles(pilot.gram_min), high = quantiles(pilot.gram_max),
             off = quantiles(miss);
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : low.items()) {
    rows.push_back({name, short_text(value.get<double>()), short_text(high[name].get<double>()),
                    short_text(off[name].get<double>())});
  }
  run.table({"quantile", "gram_min", "gram_max", "||G - I||"}, rows);
  run.json()["quantiles"] = {{"gram_min", low}, {"gram_max", high}, {"deviation", off}};
}

void draw_points(const std::string& path, const design::Design& made, bool force) {
  const Tensor x = made.points.to(torch::kFloat64), w = made.weights.to(torch::kFloat64);
  const auto column = [](const Tensor& t) {
    const Tensor flat = t.contiguous();
    return std::vector<double>(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
  };
  const bool plane = x.size(1) > 1;
  const bool rows = made.points.scalar_type() == at::kLong;
  io::write_figure(path,
                   {.title = std::to_string(made.size()) + " points",
                    .x = {.label = rows ? "candidate" : (plane ? "x_0" : "x")},
                    .y = {.label = plane ? "x_1" : "weight"},
                    .curves = {{.x = column(x.select(1, 0)),
                                .y = column(plane ? x.select(1, 1) : w),
                                .style = plane ? io::Style::points : io::Style::stems}}},
                   force);
}

void write_pilot(const std::string& path, const design::Pilot& pilot, bool force) {
  std::vector<Tensor> points, weights;
  for (const auto& made : pilot.designs) {
    if (made.size() != pilot.designs[0].size())
      throw Unsupported("--out: designs of different sizes (--greedy) do not fit one array");
    points.push_back(made.points);
    weights.push_back(made.weights);
  }
  const bool candidates = points[0].scalar_type() == at::kLong;
  const Tensor all = torch::stack(points);
  io::write_arrays(path,
                   {candidates ? io::to_array("indices", all.select(2, 0).contiguous())
                               : io::to_array("points", all),
                    io::to_array("weights", torch::stack(weights))},
                   {.force = force});
}

}  // namespace

void DesignPlan::run(Run& run) const {
  const auto made = load_design_space(space, run);
  const auto result = design::plan(*made.space, {.event = design::parse_event(event),
                                                 .delta = delta,
                                                 .eta = eta,
                                                 .method = design::parse_method(method),
                                                 .draws = draws,
                                                 .seed = run.common.seed});
  run.value("m", result.m, made.space->description());
  run.value("n_iid", result.n_iid, "points that theory asks of independent sampling");
  run.value("n_recommended", result.n_recommended, "of " + method);
  run.value("probability", result.probability,
            "+- " + short_text(result.standard_error) + ", of the event at n_recommended");
  run.json()["standard_error"] = result.standard_error;
  Json tried = Json::array();
  for (const auto& [n, probability] : result.tried)
    tried.push_back({{"n", n}, {"probability", probability}});
  run.json()["tried"] = std::move(tried);
}

void DesignPoints::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  if (!plot.empty()) run.check_target(plot, "--plot");
  const auto made = load_design_space(space, run);
  const int64_t m = made.space->size();
  const bool by_line = space.candidates.empty() && space.indices.empty();
  const auto options = blame_line(by_line, [&] { return design_options(*this, *made.space, run); });
  const auto pilot =
      blame_line(by_line, [&] { return design::pilot(*made.space, options, draws); });
  const auto& first = pilot.designs[0];
  std::optional<double> probability;
  if (draws > 1 || options.event != Event::none) probability = pilot.probability;

  run.value("m", m, made.space->description());
  run.value("n", first.size(), first.removed > 0 ? std::to_string(first.removed) + " removed" : "");
  run.value("gram_min", *std::min_element(pilot.gram_min.begin(), pilot.gram_min.end()));
  run.value("gram_max", *std::max_element(pilot.gram_max.begin(), pilot.gram_max.end()));
  run.value("redraws", pilot.redraws);
  const Json bound = bound_of(first, options, m, probability);
  if (bound.is_number()) {
    run.value("bound", bound.get<double>(),
              options.weights == Weights::mixture ? "times the best error in that norm"
                                                  : "times the best squared error, on average");
  }
  run.json()["bound"] = bound;
  run.json()["event_holds"] = first.holds;
  if (draws > 1) {
    run.value("probability", pilot.probability,
              std::string("of ") + (event == "none" ? "two-sided" : event) + " at delta");
    report_pilot(run, pilot);
  }
  if (!plot.empty()) draw_points(plot, first, run.common.force);
  if (run.common.out.empty()) return;
  if (draws > 1) {
    write_pilot(run.common.out, pilot, run.common.force);
  } else {
    design::write_design(run.common.out,
                         {.space = made.text,
                          .candidates = space.candidates,
                          .measure = space.measure,
                          .orthonormalise = space.orthonormalise,
                          .points = first.points,
                          .weights = first.weights},
                         run.common.force);
  }
}

void DesignFit::run(Run& run) const {
  for (const auto& target : {run.common.out, predictions})
    if (!target.empty()) io::check_array_target(target, run.common.force);
  const auto file = design::read_design(design);
  DesignSpaceOptions line = space;
  DesignSpace made;
  if (line.space.empty() && line.candidates.empty() && file.space) {
    made = {.space = design::product_space(*file.space), .text = file.space};
  } else {
    if (line.space.empty() && line.candidates.empty()) {
      line.candidates = file.candidates;
      line.measure = file.measure;
      line.orthonormalise = file.orthonormalise;
    }
    if (line.space.empty() && line.candidates.empty()) {
      throw DataError("design", "the space in its first line, or --space or --candidates",
                      "neither", design);
    }
    made = load_design_space(line, run);
  }
  const Tensor y = design::read_values(values, file);
  run.input(design, io::to_array("points", file.points));
  run.input(values, io::to_array("values", y));
  const auto fit = design::fit_least_squares(*made.space, file.points, file.weights, y);

  run.value("m", made.space->size(), made.space->description());
  run.value("n", y.size(0));
  if (fit.loo_error) {
    run.value("loo_error", *fit.loo_error, "leave-one-out estimate of the error");
  } else {
    run.json()["loo_error"] = nullptr;
  }
  run.value("residual", fit.residual);
  run.value("condition", fit.condition, "of the Gram matrix");
  if (fit.condition > 1e8)
    run.warn("ill_conditioned", "the design determines some coefficients poorly; take more points");
  const Tensor c = fit.coefficients.contiguous();
  run.json()["index"] = made.index();
  run.json()["coefficients"] =
      std::vector<double>(c.data_ptr<double>(), c.data_ptr<double>() + c.numel());
  if (!run.common.out.empty()) {
    const auto* product = dynamic_cast<const design::ProductSpace*>(made.space.get());
    const Tensor index = product != nullptr ? product->index()
                                            : torch::arange(c.size(0), torch::kInt64).unsqueeze(1);
    io::write_arrays(run.common.out,
                     {io::to_array("coefficients", c), io::to_array("index", index)},
                     {.force = run.common.force});
  }
  if (!at.empty()) {
    const auto array = io::read_array(at);
    run.input(at, array);
    Tensor x = io::to_tensor(array);
    if (x.dim() == 1) x = x.unsqueeze(1);
    if (file.points.is_floating_point()) x = x.to(torch::kFloat64);
    const Tensor values_there = design::evaluate_fit(*made.space, c, x).to(torch::kFloat64);
    io::write_arrays(predictions, {io::to_array("value", values_there)},
                     {.force = run.common.force});
  }
}

}  // namespace ritz::app
