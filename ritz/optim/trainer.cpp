#include "ritz/optim/trainer.h"

#include <torch/types.h>

#include <filesystem>

#include "ritz/base/check_tensor.h"
#include "ritz/base/timer.h"
#include "ritz/nn/detail/buffer_guard.h"
#include "ritz/nn/network_file.h"
#include "ritz/optim/batch_order.h"
#include "ritz/optim/detail/step_memory.h"
#include "ritz/optim/detail/training_files.h"
#include "ritz/optim/schedule.h"

namespace ritz::optim {

namespace {

/// Seconds over several stretches.
class Stopwatch {
 public:
  void resume() { timer_.restart(); }
  void pause() { total_ += timer_.seconds(); }
  double total() const { return total_; }

 private:
  Timer timer_;
  double total_ = 0;
};

void check(const TrainingTask& task, const TrainerOptions& options) {
  check_at_least("steps", options.steps, 1);
  check_at_least("checkpoint_every", options.checkpoint_every, 0);
  check_at_least("memory_limit", options.memory_limit, 0);
  check_non_negative("lr", options.lr);
  check_options("inputs", task.data.inputs, task.network.options());
  if (task.data.inputs.size(0) != task.data.targets.size(0)) {
    throw InvalidArgument("targets", "one for each of " + describe(task.data.inputs),
                          describe(task.data.targets));
  }
}

/// Gradients, running statistics, loss and the wish to stop, averaged over ranks in one all-reduce.
class Averager {
 public:
  explicit Averager(const TrainingTask& task) : task_(task) {
    for (const auto& buffer : task.network.buffers) {
      if (buffer.value.is_floating_point()) averaged_.push_back(buffer.value);
    }
  }

  /// `loss` becomes the mean, `stop` true where any rank wants it.
  void average(Tensor& loss, bool& stop) {
    dist::ProcessGroup& group = task_.group;
    if (group.world_size() == 1) return;
    const at::NoGradGuard no_graph;
    std::vector<Tensor> tensors = averaged_;
    for (const auto& parameter : task_.network.parameters) {
      const Tensor& gradient = parameter.value.grad();
      if (gradient.defined()) tensors.push_back(gradient);
    }
    int64_t words = 2;
    for (const Tensor& tensor : tensors) words += tensor.numel();
    if (flat_.numel() != words) flat_ = at::empty({words}, task_.network.options());
    int64_t used = 0;
    const auto next = [&](int64_t n) { return flat_.narrow(0, (used += n) - n, n); };
    next(1).copy_(loss);
    next(1).fill_(stop ? 1 : 0);
    for (const Tensor& tensor : tensors) next(tensor.numel()).view(tensor.sizes()).copy_(tensor);
    group.all_reduce_sum(flat_);
    flat_.div_(group.world_size());
    used = 0;
    loss = next(1).squeeze(0).clone();
    stop = next(1).item<double>() > 0;
    for (const Tensor& tensor : tensors) tensor.copy_(next(tensor.numel()).view(tensor.sizes()));
  }

 private:
  const TrainingTask& task_;
  std::vector<Tensor> averaged_;
  Tensor flat_ = at::empty({0});
};

class Training {
 public:
  Training(const TrainingTask& task, const TrainerOptions& options)
      : task_(task),
        options_(options),
        order_({.samples = task.data.inputs.size(0),
                .batch = options.batch,
                .accumulate = options.accumulate,
                .rank = task.group.rank(),
                .world_size = task.group.world_size(),
                .seed = options.seed}),
        schedule_(options.schedule, options.steps),
        averager_(task),
        writes_(!options.out.empty() && task.group.rank() == 0),
        words_before_(task.group.words_sent()) {
    task_.loss.mean = true;
    detail::check_step_memory(task_, options.batch, options.memory_limit);
    gather_identity();
    if (options.resume) {
      load();
    } else if (writes_) {
      std::filesystem::create_directories(options.out);
      std::filesystem::remove(path("checkpoint.safetensors"));  // of another run
      std::filesystem::remove(path("model.safetensors"));
    }
    if (writes_) {
      log_ = detail::StepLog(path("log.csv"), {"epoch", "loss", "lr", "seconds"}, result_.steps);
      std::vector<std::string> columns{"seconds"};
      for (const auto& [name, value] : statistics()) columns.push_back(name);
      optimizer_log_ = detail::StepLog(path("optimizer.csv"), columns, result_.steps);
    }
  }

  TrainingResult run() {
    const nn::ModeGuard training(task_.network, true);
    while (result_.steps < options_.steps && !result_.interrupted && !result_.diverged_at) step();
    log_.flush();
    optimizer_log_.flush();
    if (result_.interrupted) {
      save();
    } else if (writes_) {
      nn::save_network(task_.network, path("model.safetensors"), options_.metadata, true);
    }
    return std::move(result_);
  }

 private:
  void step() {
    const Timer whole;
    const int64_t step = result_.steps + 1;
    Stopwatch optimizer;
    optimizer.resume();
    const double lr = set_controls(step);
    task_.optimizer.begin_step({.step = step, .micro_batches = options_.accumulate});
    optimizer.pause();

    Tensor loss = gradients(step);
    optimizer.resume();
    task_.optimizer.end_backward();
    optimizer.pause();
    bool stop = options_.stop && options_.stop();
    averager_.average(loss, stop);

    StepRecord record{step, order_.epoch(step), loss.item<double>(), lr, 0};
    const bool finite = std::isfinite(record.loss);
    optimizer.resume();
    if (finite) {
      task_.optimizer.observe_loss(record.loss);
      task_.optimizer.step();
      schedule_.observe(record.loss);
    }
    optimizer.pause();
    result_.seconds += whole.seconds();
    const double seconds_optimizer = optimizer.total() + task_.optimizer.seconds_beyond_gradient();
    result_.seconds_optimizer += seconds_optimizer;
    result_.words_sent = words_resumed_ + task_.group.words_sent() - words_before_;
    record.seconds = result_.seconds;
    write_rows(record, seconds_optimizer);
    if (!finite) {
      result_.diverged_at = step;
      return;
    }
    result_.steps = step;
    result_.interrupted = stop && step < options_.steps;
    if (options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0) save();
  }

  /// Schedule first, then the controller's say; returns the learning rate in force.
  double set_controls(int64_t step) {
    Controls controls{.lr = options_.lr * schedule_.factor(step), .momentum = {}};
    if (task_.controller != nullptr) task_.controller->before_step(step, controls);
    task_.optimizer.set_lr(controls.lr);
    if (controls.momentum) task_.optimizer.set_momentum(*controls.momentum);
    return controls.lr;
  }

  /// Leaves the mean gradient over this rank's samples in the parameters; returns their mean loss.
  Tensor gradients(int64_t step) {
    task_.optimizer.zero_grad();
    const at::AutoGradMode with_graph(true);
    Tensor total;
    for (int64_t micro = 0; micro < options_.accumulate; ++micro) {
      const Tensor rows = order_.rows(step, micro).to(task_.data.inputs.device());
      const Tensor inputs = task_.data.inputs.index_select(0, rows);
      const Tensor targets = task_.data.targets.index_select(0, rows);
      const double weight = 1.0 / static_cast<double>(options_.accumulate);
      Tensor loss = task_.optimizer.differentiate({.network = task_.network,
                                                   .rule = task_.loss,
                                                   .inputs = inputs,
                                                   .targets = targets,
                                                   .weight = weight});
      if (!loss.defined()) loss = loss_by_graph(inputs, targets, weight);
      total = total.defined() ? total + loss.detach() : loss.detach();
    }
    return total;
  }

  Tensor loss_by_graph(const Tensor& inputs, const Tensor& targets, double weight) {
    const auto loss_of = [&](const Tensor& outputs) {
      const Tensor loss = task_.loss(outputs, targets);
      return options_.accumulate > 1 ? loss * weight : loss;
    };
    const Tensor outputs = task_.network.forward(inputs);
    const Tensor loss = loss_of(outputs);
    task_.optimizer.backward(
        {.loss = loss, .outputs = outputs, .rule = &task_.loss, .weight = weight, .again = [&] {
           const nn::detail::BufferGuard unchanged(task_.network, true);
           return loss_of(task_.network.forward(inputs));
         }});
    return loss;
  }

  Statistics statistics() const {
    Statistics all = task_.optimizer.statistics();
    if (task_.controller != nullptr) {
      for (auto& each : task_.controller->statistics()) all.push_back(std::move(each));
    }
    return all;
  }

  void write_rows(const StepRecord& record, double seconds_optimizer) {
    result_.log.push_back(record);
    log_.row(record.step, {record.epoch, record.loss, record.lr, record.seconds});
    std::vector<double> values{seconds_optimizer};
    for (const auto& [name, value] : statistics()) values.push_back(value);
    optimizer_log_.row(record.step, values);
    if (options_.on_step) options_.on_step(record);
  }

  std::string path(const char* name) const {
    return (std::filesystem::path(options_.out) / name).string();
  }

  void gather_identity() {
    identity_ = options_.identity;
    identity_["batch"] = std::to_string(options_.batch);
    identity_["accumulate"] = std::to_string(options_.accumulate);
    identity_["ranks"] = std::to_string(task_.group.world_size());
    identity_["samples"] = std::to_string(task_.data.inputs.size(0));
    identity_["seed"] = std::to_string(options_.seed);
    identity_["lr"] = number_text(options_.lr);
    identity_["schedule"] = options_.schedule;
    // Only a cosine depends on the length of the run; others may be resumed to go further.
    if (options_.schedule.starts_with("cosine"))
      identity_["steps"] = std::to_string(options_.steps);
  }

  std::vector<NamedTensor> network_tensors() const {
    std::vector<NamedTensor> tensors;
    for (const auto& [name, value] : task_.network.parameters) {
      tensors.push_back({name, value.detach()});
    }
    for (const auto& buffer : task_.network.buffers) tensors.push_back(buffer);
    return tensors;
  }

  void save() {
    if (options_.out.empty()) return;
    // A collective where the optimiser's state is spread over ranks.
    const auto state = task_.optimizer.state_dict();
    if (!writes_) return;
    log_.flush();
    optimizer_log_.flush();
    detail::Checkpoint checkpoint;
    for (const auto& [name, value] : identity_) checkpoint.facts["run." + name] = value;
    checkpoint.facts["step"] = std::to_string(result_.steps);
    detail::append_with_prefix(checkpoint.tensors, "network.", network_tensors());
    detail::append_with_prefix(checkpoint.tensors, "optimizer.", state);
    if (task_.controller != nullptr) {
      detail::append_with_prefix(checkpoint.tensors, "controller.", task_.controller->state_dict());
    }
    checkpoint.tensors.push_back({"schedule", at::tensor(schedule_.state(), at::kDouble)});
    const std::vector<double> totals{result_.seconds, result_.seconds_optimizer,
                                     static_cast<double>(result_.words_sent)};
    checkpoint.tensors.push_back({"totals", at::tensor(totals, at::kDouble)});
    detail::write_checkpoint(path("checkpoint.safetensors"), checkpoint);
  }

  void load() {
    const std::string file = path("checkpoint.safetensors");
    auto checkpoint = detail::read_checkpoint(file);
    for (const auto& [name, value] : identity_) {
      const std::string& then = checkpoint.facts["run." + name];
      if (then != value) {
        throw DataError(name, '"' + then + "\", as the checkpoint's run had it", '"' + value + '"',
                        file);
      }
    }
    const auto part = [&](const char* prefix) {
      return detail::with_prefix_removed(checkpoint.tensors, prefix);
    };
    const auto numbers = [&](const char* name) {
      const auto found = part(name);
      if (found.size() != 1 || found[0].value.scalar_type() != at::kDouble) {
        throw DataError(name, "float64 numbers", "none", file);
      }
      const Tensor values = found[0].value.contiguous();
      const double* first = values.const_data_ptr<double>();
      return std::vector<double>(first, first + values.numel());
    };
    assign_state(network_tensors(), part("network."));
    task_.optimizer.load_state_dict(part("optimizer."));
    if (task_.controller != nullptr) task_.controller->load_state_dict(part("controller."));
    schedule_.set_state(numbers("schedule"));
    const auto totals = numbers("totals");
    result_.steps = std::strtoll(checkpoint.facts["step"].c_str(), nullptr, 10);
    if (totals.size() != 3 || result_.steps < 1) {
      throw DataError("checkpoint", "a step and three totals", "others", file);
    }
    result_.seconds = totals[0];
    result_.seconds_optimizer = totals[1];
    words_resumed_ = static_cast<int64_t>(totals[2]);
    result_.words_sent = words_resumed_;
    result_.resumed_from = result_.steps;
  }

  TrainingTask task_;
  const TrainerOptions& options_;
  BatchOrder order_;
  Schedule schedule_;
  Averager averager_;
  const bool writes_;
  std::map<std::string, std::string> identity_;
  detail::StepLog log_, optimizer_log_;
  const int64_t words_before_;
  int64_t words_resumed_ = 0;
  TrainingResult result_;
};

}  // namespace

TrainingResult train(const TrainingTask& task, const TrainerOptions& options) {
  check(task, options);
  return Training(task, options).run();
}

Evaluation evaluate(const nn::Network& network, const nn::Loss& loss, const Split& split,
                    dist::ProcessGroup& group, int64_t micro_batch) {
  check_at_least("micro_batch", micro_batch, 1);
  const at::NoGradGuard no_graph;
  const nn::ModeGuard evaluation(network, false);
  const bool classes = split.targets.scalar_type() == at::kLong;
  const int64_t samples = split.inputs.size(0);
  const int64_t begin = samples * group.rank() / group.world_size();
  const int64_t end = samples * (group.rank() + 1) / group.world_size();
  Tensor sums = at::zeros({2}, split.inputs.options().dtype(at::kDouble));  // losses, right answers
  for (int64_t first = begin; first < end; first += micro_batch) {
    const int64_t n = std::min(micro_batch, end - first);
    const Tensor targets = split.targets.narrow(0, first, n);
    const Tensor outputs = network.forward(split.inputs.narrow(0, first, n));
    sums[0] += loss.per_sample(outputs, targets).sum(at::kDouble);
    if (classes) sums[1] += outputs.argmax(1).eq(targets).sum();
  }
  group.all_reduce_sum(sums);
  sums /= samples;
  Evaluation result{.loss = sums[0].item<double>(), .accuracy = {}};
  if (classes) result.accuracy = sums[1].item<double>();
  return result;
}

}  // namespace ritz::optim
