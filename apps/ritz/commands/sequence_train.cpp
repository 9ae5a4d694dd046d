#include "apps/ritz/commands/sequence_train.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "apps/ritz/commands/sequence_task.h"
#include "apps/ritz/commands/training_run.h"
#include "ritz/sequence/model/parameter_groups.h"
#include "ritz/sequence/model/ssm_layers.h"

namespace ritz::app {

namespace {

/// Everything of the model that the line says; shapes come from the data.
sequence::ModelOptions model_of(const SequenceTrain& line, const Run& run, int rank) {
  sequence::ModelOptions options{.residual = !line.no_residual,
                                 .prenorm = line.prenorm,
                                 .norm = sequence::parse_norm(line.norm),
                                 .norm_momentum = line.norm_momentum,
                                 .mixing = sequence::parse_mixing(line.activation),
                                 .dropout = line.dropout,
                                 .pooling = sequence::parse_pooling(line.pooling),
                                 .rank = rank};
  sequence::parse_model(line.model, options);
  auto& layer = options.layer;
  layer.bidirectional = line.bidirectional;
  layer.blocks = line.blocks;
  layer.systems = line.systems;
  layer.steps_by_state = line.steps_by_state;
  layer.dt_min = line.dt_min;
  layer.dt_max = line.dt_max;
  if (line.discretisation) {
    layer.discretisation = sequence::parse_discretisation(*line.discretisation);
  }
  if (line.real_part) layer.real_part = sequence::parse_real_part(*line.real_part);
  if (line.output_form) layer.output = sequence::parse_output_form(*line.output_form);
  set_perturbation(line.perturbation, line.rho, run.common.seed, layer);
  for (const auto& part : line.freeze) {
    (part == "A" ? layer.freeze_A : part == "B" ? layer.freeze_B : layer.freeze_dt) = true;
  }
  layer.seed = run.common.seed;
  return options;
}

}  // namespace

void SequenceTrain::run(Run& run) const {
  TrainingOptions options = training;
  if (grouped()) {
    if (!options.lr) options.lr = kRate;
    bool says_decay = false;
    for (const auto& word : options.opt)
      says_decay = says_decay || word.starts_with("weight-decay=");
    if (!says_decay) options.opt.push_back("weight-decay=0.01");
  }
  TrainingRun training_run(options, run);
  const TensorOptions tensor = tensor_options(run, training_run.ranks.local_rank);

  sequence::ModelOptions model_options;
  if (!model.empty()) {
    try {
      model_options = model_of(*this, run, training_run.ranks.rank);
    } catch (const InvalidArgument& error) {
      throw UsageError("--model", "one that ritz sequence has", error.what());
    }
  }
  auto data_options = data_options_of(data, tensor);
  if (!checkpoint.empty()) {
    const auto metadata = nn::read_metadata(checkpoint);
    const auto stored = sequence::model_options(metadata, checkpoint);
    sequence::apply_metadata(metadata, data_options);
    if (stored.vocabulary > 0) data_options.vocabulary = stored.vocabulary;
    if (model.empty()) {
      model_options = stored;
      model_options.rank = training_run.ranks.rank;
      model_options.layer.seed = run.common.seed;
    }
  }
  auto sequences = sequence::load_sequences(data_options);
  tell_inputs(sequences, run);

  const bool numbers = sequences.targets.is_floating_point();
  const bool fixed = !checkpoint.empty() && model.empty();  // the shapes are the file's
  const int64_t outputs = numbers ? sequences.targets.size(1) : sequences.classes;
  if (fixed) {
    check_fits(model_options, sequences, checkpoint);
    if (numbers ? outputs != model_options.outputs : outputs > model_options.outputs) {
      throw DataError("outputs", "the " + std::to_string(model_options.outputs) + " of the model",
                      std::to_string(outputs), checkpoint);
    }
  } else {
    model_options.channels = sequences.channels;
    model_options.vocabulary = sequences.vocabulary;
    model_options.pairs = sequences.pairs;
    model_options.outputs = outputs;
  }
  model_options.layer.tensor = tensor;
  const auto built = std::make_shared<sequence::SequenceModel>(model_options);
  const nn::Network network = sequence::make_network(built);
  if (!checkpoint.empty()) nn::load_checkpoint(network, checkpoint);

  nn::Loss rule;
  rule.kind = nn::parse_loss(loss.empty() ? (numbers ? "mse" : "cross-entropy") : loss);
  for (auto& [inputs, targets] : {std::tie(sequences.inputs, sequences.targets),
                                  std::tie(sequences.test_inputs, sequences.test_targets)}) {
    if (!targets.defined()) continue;
    if (!numbers) targets = rule.targets_from_labels(targets, model_options.outputs, tensor);
    rule.check_targets(targets, inputs.size(0), model_options.outputs);
  }

  auto metadata = sequence::model_metadata(built->options());
  for (const auto& [key, value] : sequence::data_metadata(data_options, sequences)) {
    metadata[key] = value;
  }
  metadata["sequence.loss"] = nn::loss_name(rule.kind);
  metadata["dtype"] = tensor.dtype() == at::kDouble ? "float64" : "float32";
  const double slow = ssm_lr.value_or(kSsmRate);
  if (training_run.ranks.rank == 0) tell_model(*built, sequences, run);
  training_run.train(
      {.network = network,
       .loss = rule,
       .data = {sequences.inputs, sequences.targets},
       .test = {sequences.test_inputs, sequences.test_targets},
       .metadata = metadata,
       .identity = {{"loss", nn::loss_name(rule.kind)},
                    {"data", data.train.data},
                    {"checkpoint", checkpoint},
                    {"groups", groups.value_or("standard")},
                    {"ssm-lr", number_text(slow)},
                    {"dt-global", dt_global ? "true" : "false"},
                    {"perturbation", perturbation},
                    {"rho", rho ? number_text(*rho) : "default"}},
       .make_optimizer = [&](const optim::OptimizerTask& task,
                             const optim::Settings& settings) -> std::unique_ptr<optim::Optimizer> {
         if (!grouped()) return nullptr;
         return sequence::make_adamw(
             task.network, {.rule = sequence::parse_group_rule(groups.value_or("standard")),
                            .lr = task.lr,
                            .ssm_lr = slow,
                            .weight_decay = settings.number("weight-decay"),
                            .dt_global = dt_global,
                            .adam = {.beta1 = settings.number("beta1"),
                                     .beta2 = settings.number("beta2"),
                                     .eps = settings.number("eps")}});
       },
       .evaluation_batch = options.batch});
}

}  // namespace ritz::app
