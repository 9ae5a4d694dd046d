#include "ritz/koopman/learned/latent_dictionary.h"

#include <torch/types.h>

#include "ritz/base/check_tensor.h"

namespace ritz::koopman::learned {
namespace {

class LatentDictionary : public Dictionary {
 public:
  explicit LatentDictionary(std::shared_ptr<Model> model) : model_(std::move(model)) {
    model_->eval();
    const auto& o = model_->options();
    frame_ = o.sample;
    objects_ = model_->graph() ? o.relations.size(0) : 1;
    if (model_->graph()) frame_.insert(frame_.begin(), objects_);
    for (const int64_t size : frame_) dimension_ *= size;
  }
  int64_t size() const override { return objects_ * model_->options().latent; }
  int64_t dimension() const override { return dimension_; }
  Tensor operator()(const Tensor& states) const override {
    check_shape("states", states, {-1, dimension_});
    if (states.is_complex()) throw InvalidArgument("states", "real frames", describe(states));
    const at::NoGradGuard no_graph;
    std::vector<int64_t> shape = frame_;
    shape.insert(shape.begin(), states.size(0));
    const Tensor x = states.to(model_->tensor_options()).reshape(shape);
    return model_->encode(model_->standardise(x)).mean.flatten(1).to(states.device(), at::kDouble);
  }

 private:
  std::shared_ptr<Model> model_;
  std::vector<int64_t> frame_;
  int64_t objects_ = 1, dimension_ = 1;
};

}  // namespace

DictionaryPtr latent_dictionary(std::shared_ptr<Model> model) {
  if (!model) throw InvalidArgument("model", "one", "none");
  return std::make_shared<const LatentDictionary>(std::move(model));
}

}  // namespace ritz::koopman::learned
