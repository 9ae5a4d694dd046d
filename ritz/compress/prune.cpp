#include "ritz/compress/prune.h"

#include <torch/types.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "ritz/base/check_tensor.h"
#include "ritz/base/random.h"
#include "ritz/compress/obs.h"
#include "ritz/optim/batch_order.h"
#include "ritz/optim/detail/training_files.h"
#include "ritz/optim/first_order.h"

namespace ritz::compress {

namespace {

namespace fs = std::filesystem;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double or_none(const std::optional<double>& value) {
  return value.value_or(kNone);
}

std::optional<double> optional(double value) {
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

class Pruning {
 public:
  Pruning(const PruneTask& task, const PruneOptions& options)
      : task_(task),
        options_(options),
        pruner_(task.network, task.loss, task.train, options.pruner) {
    check();
    if (options.resume) {
      load();
    } else {
      begin();
    }
  }

  PruneResult run() {
    while (target_ < options_.targets.size() && !result_.interrupted && !result_.diverged) {
      if (phase_ == Phase::prune) {
        prune_target();
      } else {
        fine_tune();
      }
    }
    const auto train = evaluate(task_.train);
    result_.loss_after = train.loss;
    result_.accuracy_after = accuracy(train);
    result_.masks = pruner_.masks();
    for (const auto& [name, mask] : result_.masks) {
      result_.layers.emplace_back(name, 1 - mask.mean(at::kDouble).item<double>());
    }
    return std::move(result_);
  }

 private:
  enum class Phase { prune, fine_tune };

  void check() const {
    check_at_least("recomputations", options_.recomputations, 1);
    check_at_least("fine_tune_epochs", options_.fine_tune_epochs, 0);
    check_at_least("checkpoint_every", options_.checkpoint_every, 0);
    check_positive("fine_tune_lr", options_.fine_tune_lr);
    check_positive("fine_tune_last_lr", options_.fine_tune_last_lr);
    if (options_.targets.empty()) throw InvalidArgument("targets", "at least one sparsity", "none");
    double last = 0;
    for (const double target : options_.targets) {
      if (!(target > last && target < 1)) {
        throw InvalidArgument("targets", "sparsities that ascend within (0, 1)",
                              number_text(target) + " after " + number_text(last));
      }
      last = target;
    }
    if (options_.out.empty() && options_.resume) {
      throw InvalidArgument("out", "a folder to resume from", "none");
    }
  }

  optim::Evaluation evaluate(const optim::Split& split) {
    return optim::evaluate(task_.network, task_.loss, split, alone_);
  }
  std::optional<double> accuracy(const optim::Evaluation& train) {
    return task_.test.inputs.defined() ? evaluate(task_.test).accuracy : train.accuracy;
  }

  void begin() {
    const double now =
        static_cast<double>(pruner_.zeros()) / static_cast<double>(pruner_.weights());
    if (zeros_at(options_.targets.front(), pruner_.weights()) <= pruner_.zeros()) {
      throw InvalidArgument("targets", "a sparsity above the network's own, " + number_text(now),
                            number_text(options_.targets.front()));
    }
    const auto train = evaluate(task_.train);
    result_.loss_before = loss_ = train.loss;
    result_.accuracy_before = accuracy(train);
    plan();
    if (options_.out.empty()) return;
    fs::create_directories(options_.out);
    for (size_t k = 0; k < options_.targets.size(); ++k) {
      fs::remove(fine_tune_folder(k) / "checkpoint.safetensors");  // of another run
    }
    save();
  }

  /// The sub-steps of the current target.
  void plan() {
    const bool once = options_.pruner.method == PruneMethod::magnitude;
    zeros_ = recomputation_zeros(pruner_.zeros(), options_.targets[target_], pruner_.weights(),
                                 once ? 1 : options_.recomputations);
    substep_ = 0;
    predicted_ = once ? kNone : 0;
  }

  void report(const std::string& what, int64_t done, int64_t total) const {
    if (options_.progress) options_.progress(what, done, total);
  }

  void prune_target() {
    const std::string what = "pruning to " + number_text(options_.targets[target_]);
    for (; substep_ < zeros_.size(); save()) {
      if (options_.stop && options_.stop()) {
        result_.interrupted = true;
        return;
      }
      report(what, static_cast<int64_t>(substep_), static_cast<int64_t>(zeros_.size()));
      const auto made = pruner_.prune(zeros_[substep_], target_ * 4096 + substep_);
      if (made.predicted) predicted_ += *made.predicted;
      if (made.gradients > 0) result_.gradients = made.gradients;
      ++substep_;
    }
    const auto train = evaluate(task_.train);
    PruneStep step{
        .target = options_.targets[target_],
        .sparsity = static_cast<double>(pruner_.zeros()) / static_cast<double>(pruner_.weights()),
        .accuracy = accuracy(train),
        .predicted_loss = optional(predicted_),
        .measured_loss = train.loss - loss_};
    result_.steps.push_back(step);
    loss_ = train.loss;
    if (options_.fine_tune_epochs > 0) {
      phase_ = Phase::fine_tune;
    } else {
      next_target();
    }
    save();
  }

  void next_target() {
    phase_ = Phase::prune;
    if (++target_ < options_.targets.size()) plan();
  }

  void fine_tune() {
    optim::Sgd sgd(task_.network.parameter_values(),
                   {.lr = options_.fine_tune_lr, .momentum = options_.fine_tune_momentum});
    const uint64_t seed = options_.pruner.seed ^ stream_id("prune/fine-tune", target_);
    const int64_t per_epoch = optim::BatchOrder({.samples = task_.train.inputs.size(0),
                                                 .batch = options_.fine_tune_batch,
                                                 .seed = seed})
                                  .steps_per_epoch();
    const int64_t steps = options_.fine_tune_epochs * per_epoch;
    const int64_t slow = options_.fine_tune_epochs == 1 ? per_epoch / 2 : steps - per_epoch;
    optim::TrainerOptions training{
        .batch = options_.fine_tune_batch,
        .steps = steps,
        .lr = options_.fine_tune_lr,
        .schedule = "step:" + number_text(options_.fine_tune_last_lr / options_.fine_tune_lr) +
                    "@" + std::to_string(slow + 1),
        .seed = seed,
        .checkpoint_every = options_.checkpoint_every,
        .identity = options_.identity,
        .stop = options_.stop,
        .on_step = [&](const optim::StepRecord& record) {
          pruner_.apply_masks();
          report("fine-tuning at " + number_text(options_.targets[target_]), record.step, steps);
        }};
    if (!options_.out.empty()) {
      training.out = fine_tune_folder(target_).string();
      const bool there = fs::exists(fs::path(training.out) / "checkpoint.safetensors");
      training.resume = result_.resumed && there;
    }
    const auto trained =
        optim::train({task_.network, task_.loss, task_.train, sgd, alone_}, training);
    if (trained.interrupted) {  // its own checkpoint goes on from here
      result_.interrupted = true;
      return;
    }
    const auto train = evaluate(task_.train);
    loss_ = train.loss;
    result_.steps.back().accuracy_fine_tuned = accuracy(train);
    result_.diverged = trained.diverged_at.has_value();
    next_target();
    save();
  }

  std::map<std::string, std::string> identity() const {
    auto facts = options_.identity;
    std::string targets;
    for (const double target : options_.targets) targets += number_text(target) + " ";
    const PrunerOptions& p = options_.pruner;
    facts["targets"] = targets;
    facts["method"] = std::to_string(static_cast<int>(p.method));
    facts["gradients"] = std::to_string(p.gradients) + " x " + std::to_string(p.gradient_batch);
    facts["block"] = std::to_string(p.block) + (p.block_per_tensor ? " a tensor" : "");
    facts["recomputations"] = std::to_string(options_.recomputations);
    facts["damping"] = number_text(p.damping);
    facts["update"] = p.joint ? "joint" : "independent";
    facts["storage"] = p.storage;
    facts["seed"] = std::to_string(p.seed);
    facts["samples"] = std::to_string(task_.train.inputs.size(0));
    facts["fine-tune"] = std::to_string(options_.fine_tune_epochs) + " epochs, lr " +
                         number_text(options_.fine_tune_lr) + " " +
                         number_text(options_.fine_tune_last_lr) + ", momentum " +
                         number_text(options_.fine_tune_momentum) + ", batch " +
                         std::to_string(options_.fine_tune_batch);
    return facts;
  }

  std::vector<nn::NamedTensor> network_tensors() const {
    std::vector<nn::NamedTensor> tensors;
    for (const auto& [name, value] : task_.network.parameters) {
      tensors.push_back({name, value.detach()});
    }
    for (const auto& buffer : task_.network.buffers) tensors.push_back(buffer);
    return tensors;
  }

  fs::path fine_tune_folder(size_t target) const {
    return fs::path(options_.out) / ("fine-tune-" + std::to_string(target + 1));
  }
  std::string file() const { return (fs::path(options_.out) / "checkpoint.safetensors").string(); }

  void save() const {
    if (options_.out.empty()) return;
    optim::detail::Checkpoint checkpoint;
    for (const auto& [name, value] : identity()) checkpoint.facts["run." + name] = value;
    optim::detail::append_with_prefix(checkpoint.tensors, "network.", network_tensors());
    optim::detail::append_with_prefix(checkpoint.tensors, "mask.", pruner_.masks());
    const std::vector<double> place{static_cast<double>(target_),
                                    static_cast<double>(substep_),
                                    phase_ == Phase::fine_tune ? 1.0 : 0.0,
                                    predicted_,
                                    loss_,
                                    result_.loss_before,
                                    or_none(result_.accuracy_before),
                                    static_cast<double>(result_.gradients)};
    checkpoint.tensors.push_back({"place", at::tensor(place, at::kDouble)});
    checkpoint.tensors.push_back({"zeros", at::tensor(zeros_, at::kLong)});
    const Tensor steps = at::empty({static_cast<int64_t>(result_.steps.size()), 6}, at::kDouble);
    for (size_t k = 0; k < result_.steps.size(); ++k) {
      const PruneStep& s = result_.steps[k];
      steps[static_cast<int64_t>(k)].copy_(
          at::tensor({s.target, s.sparsity, or_none(s.accuracy), or_none(s.predicted_loss),
                      s.measured_loss, or_none(s.accuracy_fine_tuned)},
                     at::kDouble));
    }
    checkpoint.tensors.push_back({"steps", steps});
    optim::detail::write_checkpoint(file(), checkpoint);
  }

  void load() {
    auto checkpoint = optim::detail::read_checkpoint(file());
    for (const auto& [name, value] : identity()) {
      const std::string& then = checkpoint.facts["run." + name];
      if (then != value) {
        throw DataError(name, '"' + then + "\", as the checkpoint's run had it", '"' + value + '"',
                        file());
      }
    }
    const auto part = [&](const char* prefix) {
      return optim::detail::with_prefix_removed(checkpoint.tensors, prefix);
    };
    const auto one = [&](const char* name, c10::ScalarType type, int64_t dim) {
      const auto found = part(name);
      if (found.size() != 1 || found[0].value.scalar_type() != type ||
          found[0].value.dim() != dim) {
        throw DataError(name, dtype_name(type) + " numbers", "others or none", file());
      }
      return found[0].value.contiguous();
    };
    const Tensor place = one("place", at::kDouble, 1), steps = one("steps", at::kDouble, 2);
    const Tensor zeros = one("zeros", at::kLong, 1);
    if (place.numel() != 8 || (steps.numel() > 0 && steps.size(1) != 6)) {
      throw DataError("place", "8 numbers, and 6 a step", describe(place), file());
    }
    optim::assign_state(network_tensors(), part("network."));
    pruner_.set_masks(part("mask."));
    const double* p = place.const_data_ptr<double>();
    target_ = static_cast<size_t>(p[0]);
    substep_ = static_cast<size_t>(p[1]);
    phase_ = p[2] == 1 ? Phase::fine_tune : Phase::prune;
    predicted_ = p[3];
    loss_ = p[4];
    result_.loss_before = p[5];
    result_.accuracy_before = optional(p[6]);
    result_.gradients = static_cast<int64_t>(p[7]);
    zeros_.assign(zeros.const_data_ptr<int64_t>(), zeros.const_data_ptr<int64_t>() + zeros.numel());
    for (int64_t k = 0; k < steps.size(0); ++k) {
      const double* s = steps.const_data_ptr<double>() + 6 * k;
      result_.steps.push_back({s[0], s[1], optional(s[2]), optional(s[3]), s[4], optional(s[5])});
    }
    result_.resumed = true;
  }

  const PruneTask& task_;
  const PruneOptions& options_;
  Pruner pruner_;
  dist::ProcessGroup alone_;
  PruneResult result_ = {};

  // Where the run stands.
  size_t target_ = 0, substep_ = 0;
  Phase phase_ = Phase::prune;
  std::vector<int64_t> zeros_ = {};  // after each sub-step of the target
  double predicted_ = 0;             // so far in this target
  double loss_ = 0;                  // before this target
};

}  // namespace

PruneResult prune(const PruneTask& task, const PruneOptions& options) {
  return Pruning(task, options).run();
}

}  // namespace ritz::compress
