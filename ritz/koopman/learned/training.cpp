#include "ritz/koopman/learned/training.h"

#include <torch/types.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "ritz/base/check_tensor.h"
#include "ritz/base/timer.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/optim/batch_order.h"
#include "ritz/optim/detail/training_files.h"
#include "ritz/optim/first_order.h"

namespace ritz::koopman::learned {
namespace {

namespace files = optim::detail;
using nn::NamedTensor;

std::vector<NamedTensor> state_of(const Model& model) {
  std::vector<NamedTensor> state;
  for (const auto& item : model.named_parameters()) state.push_back({item.key(), item.value()});
  for (const auto& item : model.named_buffers()) state.push_back({item.key(), item.value()});
  return state;
}

/// Clips the gradients to norm `most` and returns their norm before.
double clip_gradients(const std::vector<Tensor>& parameters, double most) {
  std::vector<Tensor> gradients, norms;
  for (const auto& p : parameters) {
    if (!p.grad().defined()) continue;
    gradients.push_back(p.grad());
    norms.push_back(p.grad().norm());
  }
  const double norm = at::stack(norms).norm().item<double>();
  if (most > 0 && norm > most) at::_foreach_mul_(gradients, most / (norm + 1e-6));
  return norm;
}

/// Gradients, losses and the wish to stop, averaged over ranks in one all-reduce.
void average(const std::vector<Tensor>& parameters, Tensor& scalars, dist::ProcessGroup& group) {
  if (group.world_size() == 1) return;
  std::vector<Tensor> pieces{scalars};
  for (const auto& p : parameters) {
    if (p.grad().defined()) pieces.push_back(p.grad().flatten());
  }
  const Tensor flat = at::cat(pieces);
  group.all_reduce_sum(flat);
  flat.div_(group.world_size());
  int64_t at = scalars.numel();
  scalars = flat.narrow(0, 0, at).clone();
  for (const auto& p : parameters) {
    if (!p.grad().defined()) continue;
    p.mutable_grad().copy_(flat.narrow(0, at, p.numel()).view(p.sizes()));
    at += p.numel();
  }
}

class Training {
 public:
  Training(Model& model, const TrainingData& data, const TrainingOptions& options,
           dist::ProcessGroup& group)
      : model_(model), data_(data), o_(options), group_(group) {
    check();
    starts_ = windows(data.train, o_.window);
    if (starts_.size(0) < o_.batch * group.world_size()) {
      throw InvalidArgument("batch",
                            "at most the " + std::to_string(starts_.size(0)) + " windows of " +
                                std::to_string(o_.window + 1) + " frames",
                            std::to_string(o_.batch * group.world_size()));
    }
    order_.emplace(optim::BatchOrder::Options{.samples = starts_.size(0),
                                              .batch = o_.batch,
                                              .rank = group.rank(),
                                              .world_size = group.world_size(),
                                              .seed = o_.seed});
    result_.planned = o_.steps > 0 ? o_.steps : o_.epochs * order_->steps_per_epoch();
    // Each rank sums its share of the trajectories.
    const auto share = dist::shard_of(data.train.count(), group.rank(), group.world_size());
    const bool shared = data.train.count() >= group.world_size();
    const Scale scale = scale_of(
        shared ? data.train.part(share.begin, share.end - share.begin) : data.train,
        static_cast<int64_t>(model.options().sample.size()), o_.scaling, shared ? &group : nullptr);
    model.set_scale(scale.mean, scale.deviation);
    for (const auto& p : model.parameters()) parameters_.push_back(p);
    optimizer_ = std::make_unique<optim::Adam>(parameters_, optim::AdamOptions{.lr = o_.lr});
    keep_best(std::numeric_limits<double>::infinity());
    const bool writes = !o_.out.empty() && group.rank() == 0;
    if (o_.resume) {
      load();
    } else if (writes) {
      std::filesystem::create_directories(o_.out);
      std::filesystem::remove(path("checkpoint.safetensors"));
    }
    if (writes) {
      std::vector<std::string> columns{"epoch", "loss", "lr", "seconds"};
      for (const auto& name : part_names()) columns.push_back(name);
      columns.emplace_back("validation");
      log_ = files::StepLog(path("log.csv"), columns, result_.steps);
    }
  }

  TrainingResult run() {
    while (result_.steps < result_.planned && !result_.interrupted && !result_.diverged_at &&
           !result_.stopped_early) {
      step();
    }
    log_.flush();
    if (result_.interrupted) {
      save();
      return std::move(result_);
    }
    restore_best();
    model_.eval();
    if (model_.options().op == OperatorKind::ridge) solve_ridge(model_, data_.train, group_);
    return std::move(result_);
  }

 private:
  void check() {
    check_trajectories(data_.train);
    if (data_.validation) check_trajectories(*data_.validation);
    check_at_least("batch", o_.batch, 1);
    check_at_least("steps", o_.steps, 0);
    check_at_least("epochs", o_.epochs, 1);
    check_at_least("patience", o_.patience, 0);
    check_at_least("decay_every", o_.decay_every, 0);
    check_at_least("checkpoint_every", o_.checkpoint_every, 0);
    check_positive("lr", o_.lr);
    check_positive("decay", o_.decay);
    check_non_negative("clip", o_.clip);
    check_options("frames", data_.train.frames, model_.tensor_options());
    const int64_t m = data_.train.actions.defined() ? data_.train.actions.size(-1) : 0;
    if (m != model_.options().actions) {
      throw InvalidArgument("actions",
                            std::to_string(model_.options().actions) + " numbers a frame",
                            std::to_string(m));
    }
    const bool contrast = o_.loss.alpha > 0 && o_.loss.estimator != Estimator::gaussian;
    if (contrast && 2 * o_.loss.k + 1 > o_.window + 1) {
      throw InvalidArgument("k",
                            "at most " + std::to_string(o_.window / 2) + " for windows of " +
                                std::to_string(o_.window + 1) + " frames",
                            std::to_string(o_.loss.k));
    }
    if (o_.loss.horizon > o_.window) {
      throw InvalidArgument("horizon", "at most the window's " + std::to_string(o_.window),
                            std::to_string(o_.loss.horizon));
    }
  }

  Batch batch_at(const Trajectories& data, const Tensor& starts) const {
    Batch batch{model_.standardise(gather_frames(data.frames, starts, o_.window + 1))};
    if (data.actions.defined()) batch.actions = gather_frames(data.actions, starts, o_.window);
    if (model_.options().transition == Transition::pfnn) batch.times = starts.select(1, 1);
    return batch;
  }

  void step() {
    const Timer whole;
    const int64_t step = result_.steps + 1;
    const int64_t per_epoch = order_->steps_per_epoch();
    const int64_t epoch = (step - 1) / per_epoch;
    const double lr = o_.decay_every > 0
                          ? o_.lr * std::pow(o_.decay, static_cast<double>(epoch / o_.decay_every))
                          : o_.lr;
    optimizer_->set_lr(lr);
    model_.train();
    model_.noise().start(o_.seed, static_cast<uint64_t>(group_.rank()),
                         static_cast<uint64_t>(step));
    optimizer_->zero_grad();
    const Tensor starts = starts_.index_select(0, order_->rows(step, 0));
    const Terms terms = objective(model_, batch_at(data_.train, starts), o_.loss, &group_);
    terms.total.backward();
    const at::NoGradGuard no_graph;
    const TensorOptions options = terms.total.options();
    const Tensor missing = at::full({}, std::numeric_limits<double>::quiet_NaN(), options);
    std::vector<Tensor> values{terms.total.detach(),
                               at::full({}, o_.stop && o_.stop() ? 1.0 : 0.0, options)};
    for (const auto& [name, value] : terms.parts)
      values.push_back(value.defined() ? value : missing);
    Tensor scalars = at::stack(values);
    average(parameters_, scalars, group_);
    const Tensor numbers = scalars.to(at::kCPU, at::kDouble);
    const auto* number = numbers.const_data_ptr<double>();
    TrainingRecord record{step, order_->epoch(step), number[0], lr, 0};
    record.parts.assign(number + 2, number + numbers.numel());
    const bool stop = number[1] > 0;
    const double norm = clip_gradients(parameters_, o_.clip);
    const bool finite = std::isfinite(record.loss) && std::isfinite(norm);
    if (finite) {
      optimizer_->step();
      result_.steps = step;
      epoch_sum_ += record.loss;
      if (step % per_epoch == 0 || step == result_.planned) end_epoch(record, epoch);
    } else {
      result_.diverged_at = step;
    }
    result_.seconds += whole.seconds();
    record.seconds = result_.seconds;
    write(record);
    if (!finite) return;
    result_.interrupted = stop && step < result_.planned;
    if (o_.checkpoint_every > 0 && step % o_.checkpoint_every == 0) save();
  }

  void end_epoch(TrainingRecord& record, int64_t epoch) {
    const int64_t in_epoch = (result_.steps - 1) % order_->steps_per_epoch() + 1;
    double value = epoch_sum_ / static_cast<double>(in_epoch);
    if (data_.validation) {
      value = validate(model_, *data_.validation, o_, group_);
      record.validation = value;
    }
    epoch_sum_ = 0;
    if (value < result_.best_loss) {
      keep_best(value);
      best_epoch_ = epoch;
    } else if (o_.patience > 0 && data_.validation && epoch - best_epoch_ >= o_.patience) {
      result_.stopped_early = true;
    }
  }

  void write(const TrainingRecord& record) {
    std::vector<double> row{record.epoch, record.loss, record.lr, record.seconds};
    row.insert(row.end(), record.parts.begin(), record.parts.end());
    row.push_back(record.validation.value_or(std::numeric_limits<double>::quiet_NaN()));
    log_.row(record.step, row);
    if (o_.on_step) o_.on_step(record);
    result_.log.push_back(record);
  }

  void keep_best(double loss) {
    result_.best_loss = loss;
    result_.best_step = result_.steps;
    best_.clear();
    for (const auto& [name, value] : state_of(model_))
      best_.push_back({name, value.detach().clone()});
  }

  void restore_best() {
    const at::NoGradGuard no_graph;
    const auto now = state_of(model_);
    for (size_t i = 0; i < now.size(); ++i) now[i].value.copy_(best_[i].value);
  }

  std::string path(const char* name) const {
    return (std::filesystem::path(o_.out) / name).string();
  }

  std::map<std::string, std::string> identity() const {
    auto facts = o_.identity;
    facts["window"] = std::to_string(o_.window);
    facts["batch"] = std::to_string(o_.batch * group_.world_size());
    facts["seed"] = std::to_string(o_.seed);
    facts["windows"] = std::to_string(starts_.size(0));
    facts["planned"] = std::to_string(result_.planned);
    return facts;
  }

  void save() {
    if (o_.out.empty() || group_.rank() != 0) return;
    log_.flush();
    files::Checkpoint checkpoint;
    for (const auto& [key, value] : identity()) checkpoint.facts["is " + key] = value;
    checkpoint.facts["step"] = std::to_string(result_.steps);
    checkpoint.facts["best_step"] = std::to_string(result_.best_step);
    checkpoint.facts["best_epoch"] = std::to_string(best_epoch_);
    const Tensor numbers = at::tensor(
        std::vector<double>{result_.best_loss, epoch_sum_, result_.seconds}, at::kDouble);
    checkpoint.tensors.push_back({"numbers", numbers});
    files::append_with_prefix(checkpoint.tensors, "model.", state_of(model_));
    files::append_with_prefix(checkpoint.tensors, "best.", best_);
    files::append_with_prefix(checkpoint.tensors, "optimizer.", optimizer_->state_dict());
    files::write_checkpoint(path("checkpoint.safetensors"), checkpoint);
  }

  void load() {
    const std::string file = path("checkpoint.safetensors");
    auto checkpoint = files::read_checkpoint(file);
    for (const auto& [key, value] : identity()) {
      const std::string& there = checkpoint.facts["is " + key];
      if (there != value) {
        throw DataError("--resume", key + " " + there + " as in the checkpoint", value, file);
      }
    }
    const auto with = [&](const char* prefix) {
      return files::with_prefix_removed(checkpoint.tensors, prefix);
    };
    optim::assign_state(state_of(model_), with("model."));
    optim::assign_state(best_, with("best."));
    optimizer_->load_state_dict(with("optimizer."));
    const Tensor numbers = with("numbers").at(0).value;
    const auto* number = numbers.const_data_ptr<double>();
    result_.best_loss = number[0];
    epoch_sum_ = number[1];
    result_.seconds = number[2];
    result_.steps = std::stoll(checkpoint.facts["step"]);
    result_.best_step = std::stoll(checkpoint.facts["best_step"]);
    best_epoch_ = std::stoll(checkpoint.facts["best_epoch"]);
    result_.resumed_from = result_.steps;
  }

  Model& model_;
  const TrainingData& data_;
  const TrainingOptions& o_;
  dist::ProcessGroup& group_;
  Tensor starts_;  // of the training windows
  std::optional<optim::BatchOrder> order_;
  std::vector<Tensor> parameters_;
  std::unique_ptr<optim::Adam> optimizer_;
  std::vector<NamedTensor> best_;
  files::StepLog log_;
  TrainingResult result_;
  double epoch_sum_ = 0;
  int64_t best_epoch_ = 0;
};

}  // namespace

TrainingResult train(Model& model, const TrainingData& data, const TrainingOptions& options,
                     dist::ProcessGroup& group) {
  return Training(model, data, options, group).run();
}

double validate(Model& model, const Trajectories& data, const TrainingOptions& options,
                dist::ProcessGroup& group, int64_t most) {
  const at::NoGradGuard no_graph;
  const bool training = model.is_training();
  model.eval();
  const Tensor starts = windows(data, options.window);
  const int64_t W = starts.size(0), P = group.world_size();
  // Batches as large as those of training, or the contrast would have other negatives.
  const int64_t batch = std::min(options.batch, std::max<int64_t>(1, W / P));
  const int64_t batches = std::max<int64_t>(1, std::min(most, W / (batch * P)));
  const int64_t wanted = batches * batch * P;
  const Tensor chosen = (at::arange(wanted, at::kLong) * W).div(wanted, "floor");  // evenly
  Tensor sum = at::zeros({1}, at::TensorOptions(at::kDouble));
  for (int64_t i = 0; i < batches; ++i) {
    // Spread, so that a batch's windows come from far apart; the same for any number of ranks.
    const Tensor rows =
        chosen.index_select(0, (at::arange(batch, at::kLong) + group.rank() * batch) * batches + i);
    const Tensor mine = starts.index_select(0, rows);
    Batch part{model.standardise(gather_frames(data.frames, mine, options.window + 1))};
    if (data.actions.defined()) part.actions = gather_frames(data.actions, mine, options.window);
    if (model.options().transition == Transition::pfnn) part.times = mine.select(1, 1);
    model.noise().start(options.seed, static_cast<uint64_t>(group.rank()),
                        static_cast<uint64_t>(i));
    sum += objective(model, part, options.loss, &group).total.to(at::kCPU, at::kDouble);
  }
  group.all_reduce_sum(sum);
  model.train(training);
  return sum.item<double>() / static_cast<double>(batches * P);
}

void solve_ridge(Model& model, const Trajectories& data, dist::ProcessGroup& group) {
  const at::NoGradGuard no_graph;
  const auto& o = model.options();
  const int64_t R = std::max<int64_t>(1, o.relation_types);
  RidgeSums sums(R * (o.latent + o.actions), o.latent);
  const auto share = dist::shard_of(data.count(), group.rank(), group.world_size());
  for (int64_t i = share.begin; i < share.end; ++i) {
    const Trajectories one = data.part(i, 1);
    const int64_t L = one.length();
    Tensor z = encode_all(model, one.frames);
    const Tensor actions = one.actions.defined() ? one.actions.narrow(1, 0, L - 1) : Tensor();
    Tensor features = model.features(z.narrow(1, 0, L - 1), actions);
    Tensor next = z.narrow(1, 1, L - 1);
    if (one.mask.defined()) {
      const Tensor both =
          one.mask.narrow(1, 0, L - 1).logical_and(one.mask.narrow(1, 1, L - 1)).to(at::kBool);
      features = features.index({both});
      next = next.index({both});
    }
    sums.add(features.reshape({-1, features.size(-1)}), next.reshape({-1, next.size(-1)}));
  }
  sums.reduce(group);
  model.set_ridge(sums.solve(o.ridge).to(model.tensor_options()));
}

Tensor encode_all(Model& model, const Tensor& frames) {
  const at::NoGradGuard no_graph;
  check_options("frames", frames, model.tensor_options());
  const bool training = model.is_training();
  model.eval();
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < frames.size(0); ++i) {
    parts.push_back(model.encode(model.standardise(frames.narrow(0, i, 1))).mean);
  }
  model.train(training);
  return at::cat(parts);
}

}  // namespace ritz::koopman::learned
