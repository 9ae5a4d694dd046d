#include "ritz/nn/network_file.h"

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/types.h>

#include <fstream>

#include "dense_oracle.h"
#include "ritz/base/error.h"
#include "ritz/nn/models.h"
#include "tests/io/temporary_folder.h"

namespace ritz::nn {
namespace {

class Files : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }

  static std::string error_of(const std::function<void()>& run) {
    try {
      run();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

 private:
  const test::TemporaryFolder folder_;
};

TEST_F(Files, ParametersBuffersAndMetadataReadBack) {
  const ModelOptions options{.input_shape = {6, 6}, .seed = 1};
  const Network a = make_network("cnn:2-2", options);
  {
    const ModeGuard mode(a, true);  // moves the running statistics
    a.forward(RandomStream(1).normal({4, 6, 6}, at::kFloat));
  }
  save_network(a, path("a.safetensors"), {{"pool", "2"}});
  ModelOptions other = options;
  other.seed = 2;
  const Network b = make_network("cnn:2-2", other);
  const Metadata metadata = load_checkpoint(b, path("a.safetensors"));
  EXPECT_EQ(metadata.at("model"), "cnn:2-2");
  EXPECT_EQ(metadata.at("pool"), "2");
  EXPECT_EQ(read_metadata(path("a.safetensors")), metadata);
  EXPECT_TRUE(a.flat_parameters().equal(b.flat_parameters()));
  ASSERT_EQ(a.buffers.size(), 6U);
  for (size_t i = 0; i < a.buffers.size(); ++i)
    EXPECT_TRUE(a.buffers[i].value.equal(b.buffers[i].value));
  other.tensor = at::kDouble;
  const Network wide = make_network("cnn:2-2", other);
  load_checkpoint(wide, path("a.safetensors"));
  EXPECT_TRUE(wide.flat_parameters().equal(a.flat_parameters().to(at::kDouble)));
}

TEST_F(Files, DifferencesAreAllNamedAndNothingIsChanged) {
  save_network(make_network("mlp:4-3-2"), path("m.safetensors"));
  const Network other = make_network("mlp:5-3-2-2");
  const Tensor before = other.flat_parameters();
  const std::string error = error_of([&] { load_checkpoint(other, path("m.safetensors")); });
  EXPECT_NE(error.find("layers.0.weight is float32 [3, 4] instead of float32 [3, 5]"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("layers.4.weight is missing"), std::string::npos) << error;
  EXPECT_TRUE(other.flat_parameters().equal(before));
  const Network smaller = make_network("mlp:4-3");
  EXPECT_NE(error_of([&] {
              load_checkpoint(smaller, path("m.safetensors"));
            }).find("layers.2.bias is superfluous"),
            std::string::npos);
  EXPECT_THROW(load_checkpoint(other, path("none.safetensors")), DataError);
  EXPECT_THROW(save_network(other, path("m.safetensors")), UsageError);
  EXPECT_NO_THROW(save_network(other, path("m.safetensors"), {}, true));
}

TEST_F(Files, TorchScriptNetworksHaveAHessian) {
  torch::jit::Module module("net");
  RandomStream random(4);
  module.register_parameter("w1", random.normal({5, 6}, at::kDouble).requires_grad_(), false);
  module.register_parameter("w2", random.normal({6, 3}, at::kDouble).requires_grad_(), false);
  module.register_parameter("frozen", random.normal({3}, at::kDouble), false);
  module.define(R"(
    def forward(self, x):
        return torch.tanh(x.matmul(self.w1)).matmul(self.w2) + self.frozen
  )");
  module.save(path("net.pt"));
  const Network network = make_network(path("net.pt"), {.tensor = at::kDouble});
  EXPECT_EQ(network.parameter_count(), 48);
  ASSERT_EQ(network.buffers.size(), 1U);
  EXPECT_EQ(network.chain, nullptr);
  EXPECT_FALSE(network.is_training());
  const Objective o = oracle::make_objective(network, {}, {5}, 9, 3);
  // The executor specialises during its first runs: the product must not change with them.
  const auto H = hessian(o, {.micro_batch = 4});
  const Tensor v = random.normal({48}, at::kDouble);
  const auto parameters = network.parameter_values();
  const Tensor z =
      (o.inputs.matmul(parameters[0])).tanh().matmul(parameters[1]) + network.buffers[0].value;
  const Tensor g = [&] {
    auto pieces = torch::autograd::grad({o.loss(z, o.targets)}, parameters, {}, true, true);
    return at::cat({pieces[0].flatten(), pieces[1].flatten()});
  }();
  const auto rows = torch::autograd::grad({g.dot(v)}, parameters);
  const Tensor expected = at::cat({rows[0].flatten(), rows[1].flatten()});
  for (int repeat = 0; repeat < 3; ++repeat) {
    EXPECT_LT(oracle::relative_error(H->apply(v), expected), 1e-12);
    EXPECT_LT(oracle::relative_error(hessian(o)->apply(v), expected), 1e-12);
    EXPECT_LT(oracle::relative_error(per_sample_hessian_products(o, v).mean(0), expected), 1e-12);
  }
  EXPECT_LT(oracle::relative_error(oracle::matrix_of(*ggn(o)), oracle::dense_ggn(o)), 1e-12);
}

TEST_F(Files, WhatIsNoTorchScriptIsADataError) {
  std::ofstream(path("bad.pt")) << "no zip archive";
  const std::string error = error_of([&] { make_network(path("bad.pt")); });
  EXPECT_NE(error.find("expected a TorchScript file"), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_THROW(load_torchscript(path("none.pt")), DataError);
  torch::jit::Module empty("empty");
  empty.define("def forward(self, x):\n    return x\n");
  empty.save(path("empty.pt"));
  EXPECT_THROW(load_torchscript(path("empty.pt")), Unsupported);
}

}  // namespace
}  // namespace ritz::nn
