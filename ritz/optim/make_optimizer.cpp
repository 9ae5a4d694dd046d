#include "ritz/optim/make_optimizer.h"

#include <sstream>

#include "ritz/optim/adahessian.h"
#include "ritz/optim/batch_scaling/learner.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/kronecker/optimizer.h"
#include "ritz/optim/lamb.h"

namespace ritz::optim {

namespace {

using Pointer = std::unique_ptr<Optimizer>;

/// Optimisers that look into layers, over a network that has none to look into.
void check_layers(const OptimizerEntry& entry, const nn::Network& network) {
  if (!entry.needs_layers || !network.layers.empty()) return;
  std::string others;
  for (const auto& each : kOptimizers) {
    if (!each.needs_layers) others += (others.empty() ? "" : ", ") + std::string(each.name);
  }
  throw Unsupported(std::string(entry.name) +
                    ": looks into the layers of ritz's own models (mlp, cnn, resnet, transformer), "
                    "and " +
                    network.description + " has none; " + others + " train any model");
}

/// The first-order optimisers: alone, or as backends, which take their own options from the same
/// settings where these have them and the presets otherwise.
Pointer make_first_order(std::string_view name, const OptimizerTask& task,
                         const Settings& settings) {
  const auto x = [&](const char* key) { return settings.number(key); };
  auto parameters = task.network.parameter_values();
  if (name == "sgd") {
    return std::make_unique<Sgd>(std::move(parameters),
                                 SgdOptions{.lr = task.lr,
                                            .momentum = x("momentum"),
                                            .dampening = x("dampening"),
                                            .weight_decay = x("weight-decay"),
                                            .nesterov = settings.flag("nesterov")});
  }
  if (name == "adam" || name == "adamw") {
    return std::make_unique<Adam>(std::move(parameters),
                                  AdamOptions{.lr = task.lr,
                                              .beta1 = x("beta1"),
                                              .beta2 = x("beta2"),
                                              .eps = x("eps"),
                                              .weight_decay = x("weight-decay"),
                                              .decoupled = name == "adamw"});
  }
  if (name == "adagrad") {
    return std::make_unique<Adagrad>(std::move(parameters),
                                     AdagradOptions{.lr = task.lr,
                                                    .lr_decay = x("lr-decay"),
                                                    .initial = x("initial"),
                                                    .eps = x("eps"),
                                                    .weight_decay = x("weight-decay")});
  }
  if (name == "lamb") {
    const bool clamped = settings.text("form") == "clamped";
    return std::make_unique<Lamb>(
        std::move(parameters),
        LambOptions{.lr = task.lr,
                    .beta1 = x("beta1"),
                    .beta2 = x("beta2"),
                    .eps = x("eps"),
                    .weight_decay = x("weight-decay"),
                    .form = clamped ? LambForm::clamped : LambForm::corrected});
  }
  return nullptr;
}

/// The backend that the settings of a Kronecker-factored optimiser name.
[[maybe_unused]] Pointer make_backend(const OptimizerTask& task, const Settings& settings) {
  const std::string& name = settings.text("backend");
  std::vector<std::string> words{"weight-decay=" + settings.text("weight-decay")};
  if (name == "sgd") {
    words.push_back("momentum=" + settings.text("momentum"));
  } else if (name != "adagrad") {
    words.push_back("beta1=" + settings.text("momentum"));
    words.push_back("beta2=" + settings.text("beta2"));
  }
  return make_first_order(name, task, Settings(find_optimizer(name), words));
}

/// What is the same in all of them.
[[maybe_unused]] KroneckerOptions kronecker_options(const Settings& settings) {
  KroneckerOptions options{.f = static_cast<int64_t>(settings.number("f")),
                           .warmup = static_cast<int64_t>(settings.number("warmup")),
                           .rescale = parse_rescale(settings.text("rescale")),
                           .kl_clip = settings.number("kl-clip")};
  std::istringstream names(settings.text("exclude"));
  for (std::string name; std::getline(names, name, ',');) options.exclude.push_back(name);
  return options;
}

HessianBlock hessian_block(const std::string& text) {
  using Rule = HessianBlock::Rule;
  if (text == "kernel") return {Rule::kernel};
  if (text == "row") return {Rule::row};
  if (text == "none") return {Rule::none};
  return {Rule::chunk, std::stoll(text)};
}

HessianProducts hessian_products(const std::string& text) {
  if (text == "difference") return HessianProducts::finite_difference;
  return text == "ggn" ? HessianProducts::gauss_newton : HessianProducts::double_backward;
}

Pointer make_adahessian(const OptimizerTask& task, const Settings& settings) {
  const auto x = [&](const char* key) { return settings.number(key); };
  const auto whole = [&](const char* key) { return static_cast<int64_t>(settings.number(key)); };
  return std::make_unique<AdaHessian>(
      task.network.parameter_values(),
      AdaHessianOptions{.lr = task.lr,
                        .beta1 = x("beta1"),
                        .beta2 = x("beta2"),
                        .eps = x("eps"),
                        .k = x("k"),
                        .weight_decay = x("weight-decay"),
                        .block = hessian_block(settings.text("block")),
                        .signed_mean = settings.text("combine") == "signed",
                        .cap = x("cap"),
                        .clip = x("clip")},
      HessianSchedule{.f = whole("f"),
                      .warmup = whole("warmup"),
                      .hold = settings.text("delay") == "hold",
                      .probes = whole("probes"),
                      .warm_samples = whole("warm-samples"),
                      .products = hessian_products(settings.text("products")),
                      .seed = task.seed},
      task.group);
}

}  // namespace

Pointer make_optimizer(std::string_view name, const OptimizerTask& task, const Settings& settings) {
  check_layers(find_optimizer(name), task.network);
  if (auto optimizer = make_first_order(name, task, settings)) return optimizer;
  if (name == "adahessian") return make_adahessian(task, settings);
  if (name == "spectral") {
    const bool learned = settings.text("momentum") == "learned";
    return std::make_unique<Sgd>(task.network.parameter_values(),
                                 SgdOptions{.lr = task.lr,
                                            .momentum = learned ? 0.0 : settings.number("momentum"),
                                            .weight_decay = settings.number("weight-decay")});
  }
  throw UsageError("optimizer", "a name of the catalogue", name);
}

std::unique_ptr<Controller> make_controller(std::string_view name, const ControllerTask& task,
                                            const Settings& settings) {
  if (name != "spectral") return nullptr;
  const auto whole = [&](const char* key) { return static_cast<int64_t>(settings.number(key)); };
  LearnerOptions options{.batch = task.batch,
                         .every = whole("every"),
                         .sample = whole("sample"),
                         .steps = whole("m"),
                         .floor = parse_floor_rule(settings.text("floor")),
                         .ggn = settings.text("operator") == "ggn",
                         .cauchy = settings.flag("cauchy"),
                         .safety = settings.number("safety"),
                         .cap = settings.number("cap"),
                         .smoothing = settings.number("smoothing"),
                         .seed = task.seed};
  if (settings.text("momentum") != "learned") options.momentum = settings.number("momentum");
  return std::make_unique<SpectralLearner>(task.network, task.loss, task.data, task.group, options);
}

}  // namespace ritz::optim
