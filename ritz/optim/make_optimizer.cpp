#include "ritz/optim/make_optimizer.h"

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
  throw UsageError("optimizer", "a name of the catalogue", name);
}

}  // namespace ritz::optim
