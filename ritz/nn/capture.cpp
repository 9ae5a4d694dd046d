#include "ritz/nn/capture.h"

#include <torch/types.h>

#include "ritz/base/error.h"

namespace ritz::nn {
namespace {

/// Without its history, but with its forward-mode tangent: closed forms evaluated at dual
/// parameters then give directional derivatives of per-sample gradients.
Tensor detached(const Tensor& x) {
  Tensor y = x.detach();
  if (const Tensor& tangent = x._fw_grad(0); tangent.defined()) {
    y._set_fw_grad(tangent.detach(), 0, false);
  }
  return y;
}

const std::vector<Tensor> kNothing;

}  // namespace

void CapturesCurvature::capture(bool on) {
  capturing_ = on;
  if (!on) records_.reset();
}

void CapturesCurvature::release() {
  records_.reset();
}

const std::vector<Tensor>& CapturesCurvature::inputs() const {
  return records_ ? records_->inputs : kNothing;
}

const std::vector<Tensor>& CapturesCurvature::output_gradients() const {
  return records_ ? records_->gradients : kNothing;
}

Tensor CapturesCurvature::record(const Tensor& input, Tensor output) {
  if (!capturing_ || !output.requires_grad()) return output;
  if (!records_) records_ = std::make_shared<Records>();
  const size_t call = records_->inputs.size();
  records_->inputs.push_back(detached(input));
  records_->gradients.emplace_back();
  // The graph may outlive the records (and the layer): the hook must not keep either alive.
  output.register_hook([weak = std::weak_ptr<Records>(records_), call](const Tensor& gradient) {
    if (const auto records = weak.lock()) records->gradients[call] = detached(gradient);
  });
  return output;
}

Tensor CapturesCurvature::input_rows(const Tensor&) const {
  throw Unsupported("input_rows: this layer's weight has no matrix form");
}

Tensor CapturesCurvature::output_rows(const Tensor&) const {
  throw Unsupported("output_rows: this layer's weight has no matrix form");
}

CaptureScope::CaptureScope(const std::vector<LayerTap>& layers) {
  for (const auto& tap : layers) {
    saved_.push_back({tap.layer, tap.layer->capturing_, std::move(tap.layer->records_)});
    tap.layer->records_.reset();
    tap.layer->capturing_ = true;
  }
}

CaptureScope::~CaptureScope() {
  for (auto& [layer, capturing, records] : saved_) {
    layer->capturing_ = capturing;
    layer->records_ = std::move(records);
  }
}

}  // namespace ritz::nn
