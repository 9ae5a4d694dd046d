// (a) and (b): pruning an MLP of 109 000 weights on Fashion-MNIST.
#include <torch/types.h>

#include <algorithm>
#include <map>
#include <string>

#include "ritz/nn/models.h"
#include "studies/mfac/parts.h"

namespace ritz::studies::mfac {
namespace {

using compress::PruneMethod;
using compress::PruneOptions;

/// One way to prune, under the name that tables and pictures give it.
struct Way {
  std::string name;
  PruneMethod method = PruneMethod::mfac;
  int64_t recomputations = 4, m = 128, block = 0;
};

PruneOptions options_of(const StudyContext& context, const Way& way, size_t seed,
                        std::vector<double> targets) {
  return {.pruner = {.method = way.method,
                     .gradients = way.m,
                     .gradient_batch = 32,
                     .block = way.block,
                     .damping = 1e-5,
                     .seed = context.seed + seed},
          .targets = std::move(targets),
          .recomputations = way.recomputations};
}

double test_accuracy(const TrainedNetworks& trained, const nn::Network& network) {
  dist::ProcessGroup alone;
  return *optim::evaluate(network, {}, trained.test, alone).accuracy;
}

/// Test accuracies after one shot to `sparsity`, one a seed.
class OneShots {
 public:
  OneShots(const StudyContext& context, const TrainedNetworks& trained)
      : context_(context), trained_(trained) {}

  const std::vector<double>& accuracies(const Way& way, double sparsity) {
    const std::string key = way.name + "/" + std::to_string(way.recomputations) + "/" +
                            std::to_string(way.m) + "/" + std::to_string(way.block) + "/" +
                            std::to_string(sparsity);
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    context_.progress("one-shot pruning", static_cast<int64_t>(known_.size()), 27);
    auto& all = known_[key];
    for (size_t seed = 0; seed < trained_.parameters.size(); ++seed) {
      const auto network = network_of(trained_, seed);
      const auto made = compress::prune({network, {}, trained_.train, trained_.test},
                                        options_of(context_, way, seed, {sparsity}));
      all.push_back(*made.steps[0].accuracy);
      if (made.steps[0].predicted_loss) {
        losses.push_back({sparsity, static_cast<double>(way.recomputations),
                          static_cast<double>(way.m), *made.steps[0].predicted_loss,
                          made.steps[0].measured_loss});
      }
    }
    return all;
  }
  double mean(const Way& way, double sparsity) { return mean_of(accuracies(way, sparsity)); }

  std::vector<std::vector<double>> losses;  // sparsity, R, m, predicted, measured

 private:
  const StudyContext& context_;
  const TrainedNetworks& trained_;
  std::map<std::string, std::vector<double>> known_;
};

void add_seeds(Claim& claim, const std::string& name, const std::vector<double>& values) {
  claim.measured.emplace_back(name + ", mean", mean_of(values));
  for (size_t seed = 0; seed < values.size(); ++seed) {
    claim.measured.emplace_back(name + ", seed " + std::to_string(seed), values[seed]);
  }
}

io::Figure figure_over(const std::string& title, const std::string& label, bool log,
                       std::vector<io::Curve> curves) {
  return {.title = title,
          .x = {.label = label, .log = log},
          .y = {.label = "test accuracy"},
          .curves = std::move(curves),
          .marks = {},
          .legend_left = true};
}

const Way kMagnitude{"magnitude", PruneMethod::magnitude, 1, 1};
const Way kDiagonal{"diagonal Fisher, R 4", PruneMethod::obd};
const Way kOnce{"M-FAC, R 1", PruneMethod::mfac, 1};
const Way kFour{"M-FAC, R 4"};
const Way kBlocks{"M-FAC, R 4, blocks of 128", PruneMethod::mfac, 4, 128, 128};
const Way kDefaults{"M-FAC, R 16, m 64, blocks of 128", PruneMethod::mfac, 16, 64, 128};

Way with(Way way, int64_t recomputations, int64_t m) {
  way.recomputations = recomputations;
  way.m = m;
  return way;
}

}  // namespace

void one_shot(const StudyContext& context, const TrainedNetworks& trained, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  OneShots shots(context, trained);
  std::vector<double> dense;
  for (size_t seed = 0; seed < trained.parameters.size(); ++seed) {
    dense.push_back(test_accuracy(trained, network_of(trained, seed)));
  }
  const std::string net = "MLP 784-128-64-10 on Fashion-MNIST, lambda 1e-5, 32 samples a gradient";

  Claim magnitude{.id = "A-magnitude",
                  .claim = "One-shot pruning by M-FAC keeps far more accuracy than by magnitude",
                  .baseline = "global magnitude pruning; " + net,
                  .criterion =
                      "at sparsity 0.90 with R = 4, m = 128, no blocks: mean test accuracy "
                      ">= magnitude's + 0.10"};
  add_seeds(magnitude, "M-FAC", shots.accuracies(kFour, 0.9));
  add_seeds(magnitude, "magnitude", shots.accuracies(kMagnitude, 0.9));
  add_seeds(magnitude, "dense", dense);
  magnitude.measured.emplace_back("M-FAC without recomputation, mean", shots.mean(kOnce, 0.9));
  magnitude.holds = shots.mean(kFour, 0.9) >= shots.mean(kMagnitude, 0.9) + 0.1;
  magnitude.note =
      "Recomputation is part of the method: without it M-FAC is only moderately better than "
      "magnitude.";
  result.claims.push_back(magnitude);

  Claim diagonal{.id = "A-diagonal",
                 .claim = "The full Fisher matrix prunes better than its diagonal",
                 .baseline = "w^2 (mean g^2 + lambda), no update, R = 4 too; " + net,
                 .criterion = "at sparsity 0.90: mean test accuracy >= the diagonal's + 0.02"};
  add_seeds(diagonal, "M-FAC", shots.accuracies(kFour, 0.9));
  add_seeds(diagonal, "diagonal", shots.accuracies(kDiagonal, 0.9));
  diagonal.holds = shots.mean(kFour, 0.9) >= shots.mean(kDiagonal, 0.9) + 0.02;
  result.claims.push_back(diagonal);

  Claim high{.id = "A-high",
             .claim = "With the authors' defaults 95 % of the weights go at little loss",
             .baseline = "global magnitude pruning; " + net,
             .criterion =
                 "at sparsity 0.95 with R = 16, m = 64, blocks of 128: mean test accuracy "
                 "at most 0.05 below the dense network's, magnitude's at least 0.30 below"};
  add_seeds(high, "M-FAC", shots.accuracies(kDefaults, 0.95));
  add_seeds(high, "magnitude", shots.accuracies(kMagnitude, 0.95));
  high.holds = shots.mean(kDefaults, 0.95) >= mean_of(dense) - 0.05 &&
               shots.mean(kMagnitude, 0.95) <= mean_of(dense) - 0.3;
  result.claims.push_back(high);

  const auto ordered = [&](Claim claim, const std::string& what, const std::vector<Way>& ways,
                           const std::vector<double>& x, const char* name) {
    std::vector<double> means;
    bool holds = true;
    for (size_t k = 0; k < ways.size(); ++k) {
      means.push_back(shots.mean(ways[k], 0.9));
      claim.measured.emplace_back(what + " = " + std::to_string(static_cast<int64_t>(x[k])),
                                  means.back());
      holds = holds && (k == 0 || means[k] >= means[k - 1] - 0.005);
    }
    claim.holds = holds;
    result.claims.push_back(claim);
    result.series.push_back({.name = name, .columns = {{what, x}, {"accuracy", means}}});
    result.figures.push_back(
        {.name = name,
         .caption = "Accuracy at sparsity 0.9 over " + what + ".",
         .figure = figure_over(
             "One-shot pruning to 0.9", what, true,
             {{.label = "M-FAC", .x = x, .y = means, .style = io::Style::line_points}})});
  };
  ordered({.id = "A-recomputations",
           .claim = "More recomputations do not hurt",
           .baseline = "itself with fewer; " + net,
           .criterion = "at sparsity 0.90, m = 128: mean test accuracy non-decreasing over R = 1, "
                        "4, 16 within 0.005"},
          "R", {kOnce, kFour, with(kFour, 16, 128)}, {1, 4, 16}, "prune_recomputations");
  ordered(
      {.id = "A-gradients",
       .claim = "More gradients do not hurt",
       .baseline = "itself with fewer; " + net,
       .criterion = "at sparsity 0.90, R = 4: mean test accuracy non-decreasing over m = 16, 64, "
                    "256 within 0.005"},
      "m", {with(kFour, 4, 16), with(kFour, 4, 64), with(kFour, 4, 256)}, {16, 64, 256},
      "prune_gradients");

  const std::vector<double> sparsities =
      quick ? std::vector<double>{0.9, 0.95} : std::vector<double>{0.7, 0.8, 0.9, 0.95};
  Series series{.name = "prune_sparsity", .columns = {{"sparsity", sparsities}}};
  io::Figure figure = figure_over("One-shot pruning", "sparsity", false, {});
  std::vector<Way> ways{kMagnitude, kDiagonal, kOnce, kFour, kDefaults};
  if (!quick) ways.insert(ways.end() - 1, kBlocks);
  for (const Way& way : ways) {
    io::Curve curve{.label = way.name, .x = sparsities, .style = io::Style::line_points};
    for (const double sparsity : sparsities) curve.y.push_back(shots.mean(way, sparsity));
    series.columns.emplace_back(way.name, curve.y);
    figure.curves.push_back(std::move(curve));
  }
  result.series.push_back(series);
  result.figures.push_back({.name = "prune_sparsity",
                            .caption = "Test accuracy after one shot, means over seeds.",
                            .figure = figure});
  Series losses{
      .name = "prune_losses",
      .columns = {{"sparsity", {}}, {"R", {}}, {"m", {}}, {"predicted", {}}, {"measured", {}}}};
  for (const auto& row : shots.losses) {
    for (size_t c = 0; c < row.size(); ++c) losses.columns[c].second.push_back(row[c]);
  }
  result.series.push_back(losses);
}

void gradual(const StudyContext& context, const TrainedNetworks& trained, StudyResult& result) {
  const bool quick = context.scale == Scale::quick;
  const std::vector<double> targets =
      quick ? std::vector<double>{0.9, 0.98} : std::vector<double>{0.5, 0.75, 0.9, 0.95, 0.98};
  std::map<std::string, std::vector<std::vector<double>>> accuracies;  // by way, target, seed
  for (const Way& way : {kMagnitude, kDefaults}) {
    accuracies[way.name].resize(targets.size());
    for (size_t seed = 0; seed < trained.parameters.size(); ++seed) {
      auto options = options_of(context, way, seed, targets);
      options.fine_tune_epochs = 1;
      options.fine_tune_lr = 0.05;
      options.fine_tune_last_lr = 0.005;
      options.fine_tune_batch = 256;
      options.progress = [&](const std::string&, int64_t done, int64_t total) {
        context.progress("gradual pruning by " + way.name, done, total);
      };
      const auto made =
          compress::prune({network_of(trained, seed), {}, trained.train, trained.test}, options);
      for (size_t k = 0; k < targets.size(); ++k) {
        accuracies[way.name][k].push_back(*made.steps[k].accuracy_fine_tuned);
      }
    }
  }
  Claim claim{.id = "B-gradual",
              .claim = "M-FAC stays ahead of magnitude when the network is fine-tuned in between",
              .baseline =
                  "magnitude pruning with the same fine-tuning: one epoch after each target, "
                  "SGD momentum 0.9, learning rate 0.05 then 0.005",
              .criterion =
                  "mean test accuracy after fine-tuning >= magnitude's at every target, "
                  "above it from 0.95 on",
              .holds = true};
  Series series{.name = "gradual", .columns = {{"sparsity", targets}}};
  io::Figure figure = figure_over("Gradual pruning, after fine-tuning", "sparsity", false, {});
  std::vector<double> means[2];
  size_t which = 0;
  for (const Way& way : {kMagnitude, kDefaults}) {
    for (const auto& seeds : accuracies[way.name]) means[which].push_back(mean_of(seeds));
    series.columns.emplace_back(way.name, means[which]);
    figure.curves.push_back(
        {.label = way.name, .x = targets, .y = means[which], .style = io::Style::line_points});
    ++which;
  }
  double worst_spread = 0;
  std::string behind;
  for (size_t k = 0; k < targets.size(); ++k) {
    const std::string at = " at " + std::to_string(targets[k]).substr(0, 4);
    claim.measured.emplace_back("magnitude" + at, means[0][k]);
    claim.measured.emplace_back("M-FAC" + at, means[1][k]);
    for (const auto& [name, all] : accuracies) {
      const auto [low, high] = std::minmax_element(all[k].begin(), all[k].end());
      worst_spread = std::max(worst_spread, *high - *low);
    }
    const bool ahead = targets[k] >= 0.95 ? means[1][k] > means[0][k] : means[1][k] >= means[0][k];
    if (!ahead) behind += at;
    claim.holds = claim.holds && ahead;
  }
  claim.measured.emplace_back("largest spread over seeds", worst_spread);
  if (!claim.holds) {
    claim.note = "Behind" + behind +
                 ". At low sparsity both stand at the dense network's accuracy and differ by less "
                 "than seeds do.";
  }
  result.claims.push_back(claim);
  result.series.push_back(series);
  result.figures.push_back({.name = "gradual",
                            .caption = "Test accuracy after each target's fine-tuning, means over "
                                       "seeds.",
                            .figure = figure});
}

}  // namespace ritz::studies::mfac
