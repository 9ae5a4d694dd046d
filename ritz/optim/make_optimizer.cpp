#include "ritz/optim/make_optimizer.h"

#include <sstream>

#include "ritz/optim/adahessian.h"
#include "ritz/optim/batch_scaling/learner.h"
#include "ritz/optim/eva.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/ggt.h"
#include "ritz/optim/kfac.h"
#include "ritz/optim/lamb.h"
#include "ritz/optim/mfac.h"
#include "ritz/optim/mkor.h"
#include "ritz/optim/sngd.h"

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

/// The optimisers on a window of gradients; null for other names.
Pointer make_window_optimizer(std::string_view name, const OptimizerTask& task,
                              const Settings& settings) {
  const auto x = [&](const char* key) { return settings.number(key); };
  const auto whole = [&](const char* key) { return static_cast<int64_t>(settings.number(key)); };
  if (name == "mfac") {
    return std::make_unique<Mfac>(task.network.parameter_values(),
                                  MfacOptions{.lr = task.lr,
                                              .momentum = x("momentum"),
                                              .weight_decay = x("weight-decay"),
                                              .m = whole("m"),
                                              .damping = x("damping"),
                                              .mode = parse_window_mode(settings.text("mode")),
                                              .fill = parse_window_fill(settings.text("fill")),
                                              .sparse = settings.flag("sparse"),
                                              .storage = settings.text("storage"),
                                              .memory_limit = task.memory_limit,
                                              .group = task.group});
  }
  if (name == "ggt") {
    return std::make_unique<Ggt>(task.network.parameter_values(),
                                 GgtOptions{.lr = task.lr,
                                            .momentum = x("momentum"),
                                            .weight_decay = x("weight-decay"),
                                            .m = whole("m"),
                                            .eps = x("damping"),
                                            .storage = settings.text("storage"),
                                            .memory_limit = task.memory_limit,
                                            .group = task.group});
  }
  return nullptr;
}

/// The backend that the settings of a Kronecker-factored optimiser name.
Pointer make_backend(const OptimizerTask& task, const Settings& settings) {
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

/// Names with commas between.
std::vector<std::string> names_in(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream stream(text);
  for (std::string name; std::getline(stream, name, ',');) names.push_back(name);
  return names;
}

/// What is the same in all of them.
KroneckerOptions kronecker_options(const Settings& settings) {
  return {.f = static_cast<int64_t>(settings.number("f")),
          .warmup = static_cast<int64_t>(settings.number("warmup")),
          .rescale = parse_rescale(settings.text("rescale")),
          .kl_clip = settings.number("kl-clip"),
          .exclude = names_in(settings.text("exclude"))};
}

MkorOptions mkor_options(const Settings& settings) {
  const auto whole = [&](const char* key) { return static_cast<int64_t>(settings.number(key)); };
  const KroneckerOptions shared = kronecker_options(settings);
  const std::string& half = settings.text("half");
  return {.renewal = {.form = parse_mkor_form(settings.text("form")),
                      .gamma = settings.number("gamma"),
                      .eps = settings.number("eps"),
                      .zeta = settings.number("zeta"),
                      .norm = settings.text("stabiliser") == "entry" ? FactorNorm::entry
                                                                     : FactorNorm::row_sum},
          .f = shared.f,
          .warmup = shared.warmup,
          .half = half == "true"    ? HalfPrecision::float16
                  : half == "false" ? HalfPrecision::none
                                    : HalfPrecision::bfloat16,
          .clip = settings.number("clip"),
          .rank = whole("rank"),
          .rescale = shared.rescale,
          .kl_clip = shared.kl_clip,
          .exclude = shared.exclude,
          .verify = whole("verify")};
}

HybridOptions hybrid_options(const Settings& settings) {
  const auto whole = [&](const char* key) { return static_cast<int64_t>(settings.number(key)); };
  using Switch = HybridOptions::Switch;
  const std::string& rule = settings.text("switch");
  return {.rule = rule == "auto"    ? Switch::automatic
                  : rule == "never" ? Switch::never
                                    : Switch::at_step,
          .step = rule == "auto" || rule == "never" ? 0 : whole("switch"),
          .knee = {.window = whole("window"),
                   .min_steps = whole("min-steps"),
                   .check = whole("check"),
                   .patience = whole("patience"),
                   .beta = settings.number("beta")}};
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

Placement parse_placement(const std::string& name) {
  if (name == "mem") return Placement::mem;
  return name == "hybrid" ? Placement::hybrid : Placement::comm;
}

Pointer make_kfac(const OptimizerTask& task, const Settings& settings) {
  const auto common = kronecker_options(settings);
  return std::make_unique<Kfac>(
      task.network, make_backend(task, settings),
      KfacOptions{.f = common.f,
                  .factor_every = static_cast<int64_t>(settings.number("factor-every")),
                  .warmup = common.warmup,
                  .damping = settings.number("damping"),
                  .decay = settings.number("decay"),
                  .form = settings.text("form") == "inverse" ? KfacForm::inverse : KfacForm::eigen,
                  .rescale = common.rescale,
                  .kl_clip = common.kl_clip,
                  .placement = parse_placement(settings.text("placement")),
                  .grad_worker_fraction = settings.number("workers"),
                  .exclude = common.exclude},
      task.group);
}

Pointer make_eva(const OptimizerTask& task, const Settings& settings) {
  const auto common = kronecker_options(settings);
  return std::make_unique<Eva>(task.network, make_backend(task, settings),
                               EvaOptions{.f = common.f,
                                          .warmup = common.warmup,
                                          .damping = settings.number("damping"),
                                          .weight = settings.number("weight"),
                                          .rescale = common.rescale,
                                          .kl_clip = common.kl_clip,
                                          .exclude = common.exclude},
                               task.group);
}

Pointer make_sngd(const OptimizerTask& task, const Settings& settings) {
  const auto common = kronecker_options(settings);
  return std::make_unique<Sngd>(task.network, make_backend(task, settings),
                                SngdOptions{.f = common.f,
                                            .warmup = common.warmup,
                                            .damping = settings.number("damping"),
                                            .rescale = common.rescale,
                                            .kl_clip = common.kl_clip,
                                            .exclude = common.exclude},
                                task.group);
}

Pointer make_hylo(const OptimizerTask& task, const Settings& settings) {
  const auto common = kronecker_options(settings);
  const std::string& form = settings.text("form");
  return std::make_unique<Hylo>(
      task.network, make_backend(task, settings),
      HyloOptions{.f = common.f,
                  .warmup = common.warmup,
                  .damping = settings.number("damping"),
                  .ratio = settings.number("ratio"),
                  .form = form == "kis"   ? HyloForm::kis
                          : form == "kid" ? HyloForm::kid
                                          : HyloForm::automatic,
                  .kid_steps = static_cast<int64_t>(settings.number("kid-steps")),
                  .rescale = common.rescale,
                  .kl_clip = common.kl_clip,
                  .exclude = common.exclude,
                  .seed = task.seed},
      task.group);
}

}  // namespace

Pointer make_optimizer(std::string_view name, const OptimizerTask& task, const Settings& settings) {
  check_layers(find_optimizer(name), task.network);
  if (auto optimizer = make_first_order(name, task, settings)) return optimizer;
  if (name == "adahessian") return make_adahessian(task, settings);
  if (name == "mkor") {
    return std::make_unique<Mkor>(task.network, make_backend(task, settings),
                                  mkor_options(settings), task.group);
  }
  if (name == "mkor-h") {
    return std::make_unique<MkorHybrid>(task.network, make_backend(task, settings),
                                        mkor_options(settings), hybrid_options(settings),
                                        task.group);
  }
  if (name == "kfac") return make_kfac(task, settings);
  if (name == "eva") return make_eva(task, settings);
  if (name == "sngd") return make_sngd(task, settings);
  if (name == "hylo") return make_hylo(task, settings);
  if (auto optimizer = make_window_optimizer(name, task, settings)) return optimizer;
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
                         .seed = task.seed,
                         .memory_limit = task.memory_limit};
  if (settings.text("momentum") != "learned") options.momentum = settings.number("momentum");
  return std::make_unique<SpectralLearner>(task.network, task.loss, task.data, task.group, options);
}

}  // namespace ritz::optim
