#include "apps/ritz/commands/prune.h"

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/commands/learning_task.h"
#include "ritz/base/atomic_file.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/compress/obs.h"
#include "ritz/compress/prune.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"
#include "ritz/nn/network_file.h"

namespace ritz::app {
namespace {

namespace fs = std::filesystem;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

std::string cell(const std::optional<double>& value) {
  return value ? short_text(*value) : "-";
}

void refuse_old_run(const Run& run, bool resume) {
  if (resume) return;
  for (const char* name :
       {"model.safetensors", "masks.safetensors", "summary.json", "checkpoint.safetensors"}) {
    const fs::path path = fs::path(run.common.out) / name;
    if (!run.common.force && fs::exists(path)) {
      throw UsageError("--out", "a folder without a run in it, --force or --resume", path.string());
    }
  }
}

int64_t prunable(const nn::Network& network) {
  int64_t count = 0;
  for (const auto& parameter : network.parameters) {
    if (parameter.value.dim() > 1) count += parameter.value.numel();
  }
  return count;
}

compress::PruneOptions pruning_options(const Prune& p, const Run& run,
                                       const LearningTask& learning) {
  compress::PruneOptions options{
      .pruner = {.method = compress::parse_prune_method(p.method),
                 .gradients = p.gradients,
                 .gradient_batch = p.gradient_batch,
                 .allow_fewer = p.allow_fewer,
                 .block = block_width(p.block),
                 .block_per_tensor = p.block_scope == "per-tensor",
                 .damping = p.damping,
                 .joint = p.update == "joint",
                 .storage = p.storage,
                 .memory_limit = p.memory_limit,
                 .seed = run.common.seed},
      .targets = p.sparsity,
      .recomputations = p.recomputations,
      .fine_tune_epochs = p.fine_tune_epochs,
      .fine_tune_lr = p.fine_tune_lr.front(),
      .fine_tune_last_lr = p.fine_tune_lr.back(),
      .fine_tune_momentum = p.fine_tune_momentum,
      .fine_tune_batch = p.fine_tune_batch,
      .out = run.common.out,
      .checkpoint_every = p.checkpoint_every,
      .resume = p.resume,
      .identity = {{"model", learning.network.description},
                   {"loss", p.task.loss},
                   {"data", p.task.data},
                   {"dtype", dtype_name(learning.data.inputs.scalar_type())}},
      .stop = interrupted};
  for (const auto& [key, value] : learning.metadata) options.identity[key] = value;
  if (p.of == "all") {
    const double share = static_cast<double>(learning.network.parameter_count()) /
                         static_cast<double>(prunable(learning.network));
    for (double& target : options.targets) {
      if ((target *= share) >= 1) {
        throw InvalidArgument("--sparsity",
                              "below " + number_text(1 / share) +
                                  ", the prunable share of all "
                                  "parameters",
                              number_text(target / share));
      }
    }
  }
  if (p.schedule == "zhu-gupta") {
    options.targets = compress::zhu_gupta_targets(0, options.targets.front(), p.prunings);
  }
  return options;
}

void report(Run& run, const compress::PruneResult& result, bool fine_tuned) {
  Json steps = Json::array(), layers = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const auto& step : result.steps) {
    Json one{{"target", step.target},
             {"sparsity", step.sparsity},
             {"accuracy", or_null(step.accuracy)},
             {"predicted_loss", or_null(step.predicted_loss)},
             {"measured_loss", step.measured_loss}};
    rows.push_back({short_text(step.sparsity), cell(step.accuracy), cell(step.predicted_loss),
                    short_text(step.measured_loss)});
    if (fine_tuned) {
      one["accuracy_fine_tuned"] = or_null(step.accuracy_fine_tuned);
      rows.back().push_back(cell(step.accuracy_fine_tuned));
    }
    steps.push_back(std::move(one));
  }
  for (const auto& [name, sparsity] : result.layers) {
    layers.push_back({{"name", name}, {"sparsity", sparsity}});
  }
  run.json()["steps"] = steps;
  run.json()["layers"] = layers;
  std::vector<std::string> head{"sparsity", "accuracy", "predicted loss", "measured loss"};
  if (fine_tuned) head.emplace_back("fine-tuned");
  run.table(head, rows);
}

}  // namespace

void Prune::run(Run& run) const {
  LearningTaskOptions source = task;
  (model.ends_with(".safetensors") ? source.checkpoint : source.model) = model;
  LearningTask learning = load_learning_task(source, run);
  const auto& data = learning.data;
  refuse_old_run(run, resume);

  compress::PruneOptions options = pruning_options(*this, run, learning);
  Progress progress(run.shows_progress());
  options.progress = [&](const std::string& what, int64_t done, int64_t total) {
    progress.update(what, done, total);
  };
  const auto result = compress::prune({learning.network,
                                       learning.loss,
                                       {data.inputs, data.targets},
                                       {data.test_inputs, data.test_targets}},
                                      options);
  progress.clear();
  if (result.interrupted) {
    throw Interrupted("stopped after " + std::to_string(result.steps.size()) + " of " +
                      std::to_string(options.targets.size()) +
                      " targets; the same line with --resume goes on");
  }

  const fs::path out = run.common.out;
  nn::save_network(learning.network, out / "model.safetensors", learning.metadata, true);
  std::vector<io::Array> masks;
  for (const auto& [name, mask] : result.masks) masks.push_back(io::to_array(name, mask));
  io::write_safetensors((out / "masks.safetensors").string(), masks, {}, /*force=*/true);

  Json& json = run.json();
  json["model"] = learning.network.description;
  json["method"] = method;
  json["prunable"] = prunable(learning.network);
  if (result.gradients > 0) {
    json["gradients"] = result.gradients;
    json["gradient_batch"] = gradient_batch;
    if (result.gradients < gradients) {
      run.warn("fewer_gradients", std::to_string(result.gradients) + " gradients instead of " +
                                      std::to_string(gradients));
    }
  }
  json["accuracy_of"] = data.test_inputs.defined() ? "test" : "train";
  json["loss_before"] = result.loss_before;
  json["loss_after"] = result.loss_after;
  json["accuracy_before"] = or_null(result.accuracy_before);
  if (result.accuracy_before) {
    run.text() << "accuracy before " << short_text(*result.accuracy_before) << ", of the "
               << (data.test_inputs.defined() ? "test" : "training") << " set\n";
  }
  report(run, result, fine_tune_epochs > 0);
  json["accuracy_after"] = or_null(result.accuracy_after);
  json["resumed"] = result.resumed;
  if (result.diverged) {
    run.not_converged("--fine-tune-lr: expected a finite loss, found another at target " +
                      number_text(result.steps.back().target));
  }
  AtomicFile summary((out / "summary.json").string(), true);
  summary.write(run.document());
  summary.commit();
}

}  // namespace ritz::app
