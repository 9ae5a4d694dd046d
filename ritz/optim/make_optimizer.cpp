#include "ritz/optim/make_optimizer.h"

#include "ritz/optim/batch_scaling/learner.h"
#include "ritz/optim/first_order.h"
#include "ritz/optim/lamb.h"

namespace ritz::optim {

std::unique_ptr<Optimizer> make_optimizer(std::string_view name, std::vector<Tensor> parameters,
                                          double lr, const Settings& settings) {
  const auto x = [&](const char* key) { return settings.number(key); };
  if (name == "sgd") {
    return std::make_unique<Sgd>(std::move(parameters),
                                 SgdOptions{.lr = lr,
                                            .momentum = x("momentum"),
                                            .dampening = x("dampening"),
                                            .weight_decay = x("weight-decay"),
                                            .nesterov = settings.flag("nesterov")});
  }
  if (name == "adam" || name == "adamw") {
    return std::make_unique<Adam>(std::move(parameters),
                                  AdamOptions{.lr = lr,
                                              .beta1 = x("beta1"),
                                              .beta2 = x("beta2"),
                                              .eps = x("eps"),
                                              .weight_decay = x("weight-decay"),
                                              .decoupled = name == "adamw"});
  }
  if (name == "adagrad") {
    return std::make_unique<Adagrad>(std::move(parameters),
                                     AdagradOptions{.lr = lr,
                                                    .lr_decay = x("lr-decay"),
                                                    .initial = x("initial"),
                                                    .eps = x("eps"),
                                                    .weight_decay = x("weight-decay")});
  }
  if (name == "lamb") {
    const bool clamped = settings.text("form") == "clamped";
    return std::make_unique<Lamb>(
        std::move(parameters),
        LambOptions{.lr = lr,
                    .beta1 = x("beta1"),
                    .beta2 = x("beta2"),
                    .eps = x("eps"),
                    .weight_decay = x("weight-decay"),
                    .form = clamped ? LambForm::clamped : LambForm::corrected});
  }
  if (name == "spectral") {
    const bool learned = settings.text("momentum") == "learned";
    return std::make_unique<Sgd>(std::move(parameters),
                                 SgdOptions{.lr = lr,
                                            .momentum = learned ? 0.0 : x("momentum"),
                                            .weight_decay = x("weight-decay")});
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
