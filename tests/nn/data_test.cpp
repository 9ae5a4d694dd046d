#include "ritz/nn/data.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "tests/io/temporary_folder.h"

namespace ritz::nn {
namespace {

class Data : public testing::Test {
 protected:
  std::string write(const std::string& name, const Tensor& tensor) const {
    const std::string path = folder_ / name;
    io::write_arrays(path, {io::to_array("data", tensor)}, {.force = true});
    return path;
  }
  std::string folder() const { return folder_ / ""; }

  static std::string error_of(const DataOptions& options) {
    try {
      load_labelled_data(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

 private:
  const test::TemporaryFolder folder_;
};

Tensor bytes(at::IntArrayRef shape) {
  return RandomStream(1).integers(shape, 0, 256).to(at::kByte);
}

TEST_F(Data, IntegerImagesAreDividedAndFloatsAreNot) {
  const Tensor x = bytes({5, 4, 6}), y = at::tensor({0, 2, 1, 2, 0}, at::kLong);
  const auto integral =
      load_labelled_data({.data = write("x.npy", x), .labels = write("y.npy", y)});
  EXPECT_TRUE(integral.inputs.equal(x.to(at::kFloat) / 255));
  EXPECT_TRUE(integral.targets.equal(y));
  EXPECT_EQ(integral.classes, 3);
  EXPECT_EQ(integral.input_shape(), (std::vector<int64_t>{4, 6}));
  const auto floating = load_labelled_data({.data = write("f.npy", x.to(at::kFloat)),
                                            .labels = write("y.npy", y.to(at::kDouble)),
                                            .tensor = at::kDouble});
  EXPECT_TRUE(floating.inputs.equal(x.to(at::kDouble)));
  EXPECT_TRUE(floating.targets.equal(y));
}

TEST_F(Data, PoolsCutsAndStandardisesByTrainingStatistics) {
  const Tensor x = bytes({6, 2, 4, 6}), t = bytes({3, 2, 4, 6}), y = at::zeros({6}, at::kLong);
  const DataOptions options{.data = write("x.npy", x),
                            .labels = write("y.npy", y),
                            .test_data = write("t.npy", t),
                            .test_labels = write("u.npy", y.slice(0, 0, 3)),
                            .pool = 2,
                            .limit = 5,
                            .standardise = true,
                            .tensor = at::kDouble};
  const auto data = load_labelled_data(options);
  const auto pooled = [](const Tensor& images) {
    return images.to(at::kDouble).div(255).view({-1, 2, 2, 2, 3, 2}).mean(at::IntArrayRef{3, 5});
  };
  const Tensor train = pooled(x.slice(0, 0, 5));
  const double mean = train.mean().item<double>(), sd = train.std(false).item<double>();
  EXPECT_NEAR(data.mean, mean, 1e-14);
  EXPECT_NEAR(data.deviation, sd, 1e-14);
  EXPECT_TRUE(data.inputs.allclose((train - mean) / sd, 1e-12, 1e-12));
  EXPECT_TRUE(data.test_inputs.allclose((pooled(t) - mean) / sd, 1e-12, 1e-12));
  // What a model file carries gives the same test set without the training set's statistics.
  DataOptions later = options;
  later.standardise = false;
  later.pool = 1;
  later.limit = 2;
  apply_metadata(data_metadata(options, data), later);
  EXPECT_TRUE(load_labelled_data(later).test_inputs.equal(data.test_inputs));
}

TEST_F(Data, FlatSquareImagesArePooledAsImages) {
  const Tensor x = RandomStream(1).normal({3, 16}, at::kFloat), y = at::zeros({3}, at::kLong);
  const auto data =
      load_labelled_data({.data = write("x.npy", x), .labels = write("y.npy", y), .pool = 4});
  EXPECT_TRUE(data.inputs.allclose(x.mean(1).view({3, 1, 1})));
}

TEST_F(Data, FoldersOfIdxFilesAreRead) {
  write("train-images-idx3-ubyte", bytes({4, 3, 3}));
  write("train-labels-idx1-ubyte.gz", at::tensor({1, 0, 3, 1}, at::kByte));
  const auto alone = load_labelled_data({.data = folder()});
  EXPECT_EQ(alone.classes, 4);
  EXPECT_FALSE(alone.test_inputs.defined());
  write("t10k-images-idx3-ubyte", bytes({2, 3, 3}));
  EXPECT_NE(error_of({.data = folder()}).find("t10k-labels"), std::string::npos);
  write("t10k-labels-idx1-ubyte", at::tensor({5, 0}, at::kByte));
  EXPECT_EQ(load_labelled_data({.data = folder()}).classes, 6);
}

TEST_F(Data, FloatingTargetsStay) {
  const Tensor y = RandomStream(1).normal({3, 2}, at::kDouble);
  const auto data =
      load_labelled_data({.data = write("x.npy", bytes({3, 4})), .labels = write("y.npy", y)});
  EXPECT_TRUE(data.targets.equal(y.to(at::kFloat)));
  EXPECT_EQ(data.classes, 0);
}

TEST_F(Data, FashionMnistIsRead) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "Debian's package is not installed";
  const auto data =
      load_labelled_data({.data = "fashion-mnist", .pool = 2, .limit = 1000, .test_limit = 50});
  EXPECT_EQ(data.inputs.sizes(), (std::vector<int64_t>{1000, 14, 14}));
  EXPECT_EQ(data.test_inputs.size(0), 50);
  EXPECT_EQ(data.classes, 10);
  EXPECT_EQ(data.targets[0].item<int64_t>(), 9);  // the first image is an ankle boot
}

TEST_F(Data, ErrorsSayWhatDoesNotFit) {
  const std::string x = write("x.npy", bytes({5, 4, 6})),
                    y = write("y.npy", at::zeros({4}, at::kLong));
  EXPECT_NE(error_of({.data = x, .labels = y}).find("expected 5 labels"), std::string::npos);
  EXPECT_NE(error_of({.data = x}).find("labels"), std::string::npos);
  const std::string five = write("five.npy", at::zeros({5}, at::kLong));
  EXPECT_NE(error_of({.data = x, .labels = five, .pool = 4}).find("height 4 and width 6"),
            std::string::npos);
  EXPECT_NE(error_of({.data = x, .labels = five, .limit = 6}).find("at most 5"), std::string::npos);
  EXPECT_NE(error_of({.data = x, .labels = five, .test_data = x}).find("both or neither"),
            std::string::npos);
  const std::string half = write("half.npy", at::full({5}, 0.5));
  EXPECT_NE(error_of({.data = x, .labels = half}).find("index 0"), std::string::npos);
  const std::string negative = write("neg.npy", at::tensor({0, 1, -1, 0, 0}, at::kLong));
  EXPECT_NE(error_of({.data = x, .labels = negative}).find("found -1 (index 2)"),
            std::string::npos);
  const std::string flat = write("flat.npy", at::full({5, 3}, 0.25));
  EXPECT_NE(error_of({.data = flat, .labels = five, .standardise = true}).find("vary"),
            std::string::npos);
  EXPECT_NE(error_of({.data = flat, .labels = five, .pool = 2}).find("pool"), std::string::npos);
  EXPECT_NE(error_of({.data = folder() + "/none.npy", .labels = five}), "no error");
  EXPECT_NE(error_of({.data = folder()}).find("train-images-idx3-ubyte"), std::string::npos);
  EXPECT_NE(
      error_of({.data = x, .labels = five, .test_data = flat, .test_labels = five}).find("shape"),
      std::string::npos);
}

}  // namespace
}  // namespace ritz::nn
