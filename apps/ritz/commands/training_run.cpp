#include "apps/ritz/commands/training_run.h"

#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "ritz/base/atomic_file.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/base/threads.h"
#include "ritz/optim/batch_order.h"
#include "ritz/optim/schedule.h"

namespace ritz::app {

namespace {

namespace fs = std::filesystem;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

/// Ranks that share a machine share its cores, unless the user or the launcher has said how.
void share_cores(const dist::Ranks& ranks, Run& run) {
  if (ranks.world_size == 1 || !ranks.one_machine || run.common.threads > 0) return;
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return;
  set_threads(std::max(1, threads() / ranks.world_size));
  run.threads = threads();
}

void refuse_old_run(const Run& run, bool resume) {
  if (resume) return;
  for (const char* name :
       {"model.safetensors", "log.csv", "summary.json", "checkpoint.safetensors"}) {
    const fs::path path = fs::path(run.common.out) / name;
    if (!run.common.force && fs::exists(path)) {
      throw UsageError("--out", "a folder without a run in it, --force or --resume", path.string());
    }
  }
}

/// A malformed schedule is the line's fault, not the data's.
void check_schedule(const std::string& schedule, int64_t steps) {
  try {
    optim::Schedule(schedule, steps);
  } catch (const InvalidArgument&) {
    throw UsageError("--schedule",
                     "constant, step:FACTOR@STEP,..., cosine[:WARMUP] or knee[:FACTOR]", schedule);
  }
}

}  // namespace

TrainingRun::TrainingRun(const TrainingOptions& options, Run& run)
    : ranks(dist::discover_ranks()), options_(options), run_(run) {
  if (ranks.rank != 0) run.be_silent();
  share_cores(ranks, run);
}

void TrainingRun::train(const TrainedTask& task) {
  Run& run = run_;
  const TrainingOptions& o = options_;
  const optim::Settings settings(optim::find_optimizer(o.optimizer), o.opt);
  const double rate =
      o.lr.value_or(optim::default_rate(optim::find_optimizer(o.optimizer), settings));
  dist::ProcessGroup group(
      ranks, {.timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * o.rank_timeout))});
  const optim::OptimizerTask optimizer_task{task.network, rate, &group, run.common.seed,
                                            o.memory_limit.value_or(0)};
  auto method = task.make_optimizer ? task.make_optimizer(optimizer_task, settings) : nullptr;
  if (!method) method = optim::make_optimizer(o.optimizer, optimizer_task, settings);
  const auto pass_warnings = [&] {
    for (const auto& [code, message] : method->take_warnings()) {
      if (ranks.rank == 0) run.warn(code, message);  // they are the same on all
    }
  };
  pass_warnings();

  optim::TrainerOptions options{.batch = o.batch,
                                .accumulate = o.accumulate,
                                .lr = rate,
                                .schedule = o.schedule,
                                .seed = run.common.seed,
                                .out = run.common.out,
                                .checkpoint_every = o.checkpoint_every,
                                .resume = o.resume,
                                .memory_limit = o.memory_limit.value_or(0),
                                .metadata = task.metadata,
                                .stop = interrupted};
  const int64_t per_epoch = optim::BatchOrder({.samples = task.data.inputs.size(0),
                                               .batch = o.batch,
                                               .accumulate = o.accumulate,
                                               .world_size = ranks.world_size})
                                .steps_per_epoch();
  options.steps =
      o.steps ? *o.steps : o.epochs.value_or(TrainingOptions::kDefaultEpochs) * per_epoch;
  check_schedule(o.schedule, options.steps);
  Progress progress(run.shows_progress());
  options.on_step = [&](const optim::StepRecord& record) {
    progress.update("training", record.step, options.steps);
    pass_warnings();
  };
  options.identity = task.identity;
  options.identity["model"] = task.network.description;
  options.identity["optimizer"] = o.optimizer;
  options.identity["dtype"] = dtype_name(task.data.inputs.scalar_type());
  for (const auto& [key, value] : settings.all()) options.identity["opt " + key] = value;
  for (const auto& [key, value] : task.metadata) options.identity[key] = value;

  if (ranks.rank == 0) refuse_old_run(run, o.resume);
  group.barrier();  // nobody trains before rank 0 has looked

  const int64_t step_samples = o.batch * o.accumulate * ranks.world_size;
  const auto controller =
      optim::make_controller(o.optimizer,
                             {task.network, task.loss, task.data, group, step_samples,
                              run.common.seed, o.memory_limit.value_or(0)},
                             settings);
  const auto result =
      optim::train({task.network, task.loss, task.data, *method, group, controller.get()}, options);
  progress.clear();
  if (result.interrupted) {
    throw Interrupted("stopped after step " + std::to_string(result.steps) + " of " +
                      std::to_string(options.steps) + "; the same line with --resume goes on");
  }

  const auto train_set =
      optim::evaluate(task.network, task.loss, task.data, group, task.evaluation_batch);
  std::optional<optim::Evaluation> test_set;
  if (task.test.inputs.defined()) {
    test_set = optim::evaluate(task.network, task.loss, task.test, group, task.evaluation_batch);
  }
  if (ranks.rank != 0) {
    if (result.diverged_at) run.not_converged("the loss is not finite");
    return;
  }

  Json& json = run.json();
  json["model"] = task.network.description;
  json["optimizer"] = o.optimizer;
  json["parameters"] = task.network.parameter_count();
  json["ranks"] = ranks.world_size;
  run.value("steps", result.steps);
  run.value("train_loss", train_set.loss, "mean over all samples");
  json["train_accuracy"] = or_null(train_set.accuracy);
  if (test_set) {
    run.value("test_loss", test_set->loss);
    if (test_set->accuracy) run.value("test_accuracy", *test_set->accuracy);
  }
  json["test_loss"] = test_set ? Json(test_set->loss) : Json();
  json["test_accuracy"] = test_set ? or_null(test_set->accuracy) : Json();
  run.value("seconds_training", result.seconds);
  run.value("seconds_optimizer", result.seconds_optimizer, "all beyond the loss and its gradient");
  json["diverged_at"] = or_null(result.diverged_at);
  json["resumed_from"] = or_null(result.resumed_from);
  json["words_sent"] = result.words_sent;
  if (result.diverged_at) {
    run.not_converged("loss: expected a finite one, found another in step " +
                      std::to_string(*result.diverged_at) + " (--lr " + number_text(rate) + ")");
  }
  AtomicFile summary((fs::path(run.common.out) / "summary.json").string(), true);
  summary.write(run.document());
  summary.commit();
}

}  // namespace ritz::app
