// Sequences out of files: shapes, tokens, pairs, lengths, and everything that can be wrong.
#include "ritz/sequence/model/data.h"

#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/types.h>

#include <fstream>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/sequence/model/lengths.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::sequence;
using ritz::Tensor;

class SequenceFiles : public testing::Test {
 protected:
  std::string write(const std::string& name, const Tensor& x) const {
    ritz::io::write_arrays(folder_ / name, {ritz::io::to_array("", x)}, {.force = true});
    return folder_ / name;
  }
  DataOptions options(const std::string& data, const std::string& labels) const {
    return {.train = {.data = data, .labels = labels}, .tensor = at::TensorOptions(at::kDouble)};
  }
  /// The error's text; fails where there is none.
  template <class E>
  std::string refusal(const DataOptions& given) const {
    try {
      load_sequences(given);
    } catch (const E& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }
  const ritz::test::TemporaryFolder folder_;
  const Tensor x_ = ritz::RandomStream(1).normal({4, 6, 2}, at::TensorOptions(at::kDouble));
  const Tensor labels_ = at::tensor({0, 2, 1, 0}, at::kLong);
  const Tensor lengths_ = at::tensor({6, 1, 3, 5}, at::kInt);
};

TEST_F(SequenceFiles, ShapesAreReadAsTheyAre) {
  const auto y = write("y.npy", labels_);
  const auto data = load_sequences(options(write("x.npy", x_), y));
  EXPECT_TRUE(at::equal(unpack(data.inputs).x, x_));
  EXPECT_TRUE(at::equal(data.targets, labels_));
  EXPECT_EQ(data.classes, 3);
  EXPECT_EQ(data.steps, 6);
  EXPECT_EQ(data.channels, 2);
  EXPECT_FALSE(data.pairs);
  // One channel, and a step's channels side by side in a table.
  EXPECT_EQ(load_sequences(options(write("f.csv", x_.flatten(1)), y)).steps, 12);
  auto wide = options(folder_ / "f.csv", y);
  wide.channels = 2;
  EXPECT_TRUE(at::equal(unpack(load_sequences(wide).inputs).x, x_));
  const auto single = load_sequences({.train = {.data = folder_ / "x.npy", .labels = y}});
  EXPECT_EQ(single.inputs.scalar_type(), at::kFloat);
}

TEST_F(SequenceFiles, TorchsOwnFilesAreRead) {
  const auto bytes = torch::jit::pickle_save(x_);
  std::ofstream(folder_ / "x.pt", std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const auto data = load_sequences(options(folder_ / "x.pt", write("y.npy", labels_)));
  EXPECT_TRUE(at::equal(unpack(data.inputs).x, x_));
  std::ofstream(folder_ / "bad.pt") << "nothing of the kind";
  EXPECT_NE(refusal<ritz::DataError>(options(folder_ / "bad.pt", folder_ / "y.npy")).find("bad.pt"),
            std::string::npos);
  EXPECT_THROW(read_tensor(folder_ / "none.pt"), ritz::DataError);
}

TEST_F(SequenceFiles, PaddingMayBeAnythingAndCountsForNothing) {
  Tensor x = x_.clone();
  x[1].narrow(0, 1, 5).fill_(std::nan(""));
  auto o = options(write("x.npy", x), write("y.npy", labels_));
  o.train.lengths = write("l.npy", lengths_);
  o.standardise = true;
  const auto data = load_sequences(o);
  const auto [u, lengths] = unpack(data.inputs);
  EXPECT_TRUE(at::equal(lengths, lengths_.to(at::kLong)));
  const Tensor rows =
      u.flatten(0, 1).index_select(0, length_mask(lengths, 6).flatten().nonzero().squeeze(1));
  EXPECT_EQ(rows.size(0), 15);
  EXPECT_NEAR(rows.mean().item<double>(), 0, 1e-14);
  EXPECT_NEAR(rows.square().mean().item<double>(), 1, 1e-14);
  // A model file says what was subtracted.
  DataOptions later;
  apply_metadata(data_metadata(o, data), later);
  EXPECT_EQ(*later.mean, data.mean);
  EXPECT_EQ(*later.deviation, data.deviation);
}

TEST_F(SequenceFiles, WholeNumbersOfTwoAxesAreTokens) {
  const Tensor ids = at::tensor({1, 0, 4, 2, 2, 0}, at::kLong).view({2, 3});
  const Tensor y = at::tensor({0, 1}, at::kLong);
  auto o = options(write("ids.npy", ids), write("y2.npy", y));
  const auto data = load_sequences(o);
  EXPECT_EQ(data.vocabulary, 5);
  EXPECT_EQ(data.notes.size(), 1u);
  EXPECT_TRUE(at::equal(unpack(data.inputs).x.squeeze(-1).to(at::kLong), ids));
  o.vocabulary = 9;
  EXPECT_EQ(load_sequences(o).vocabulary, 9);
  o.vocabulary = 4;
  EXPECT_NE(refusal<ritz::DataError>(o).find("token ids below 4"), std::string::npos);
  o.vocabulary = 0;
  o.channels = 1;
  EXPECT_EQ(load_sequences(o).vocabulary, 0);
  auto text = options(write("ids.csv", ids.to(at::kDouble)), folder_ / "y2.npy");
  EXPECT_EQ(load_sequences(text).vocabulary, 0);
  text.vocabulary = 5;
  EXPECT_EQ(load_sequences(text).vocabulary, 5);
  text.train.data = write("half.csv", ids.to(at::kDouble) + 0.5);
  EXPECT_NE(refusal<ritz::DataError>(text).find("index 0"), std::string::npos);
}

TEST_F(SequenceFiles, PairsComeInThreeForms) {
  const Tensor other = -x_, both = at::stack({x_, other}, 1);
  const Tensor two = at::stack({lengths_, lengths_.flip(0)}, 1);
  const auto y = write("y.npy", labels_), l = write("two.npy", two);
  auto within = options(write("both.npy", both), y);
  within.train.pairs = "data";
  within.train.lengths = l;
  const auto a = load_sequences(within);
  EXPECT_TRUE(a.pairs);
  EXPECT_EQ(a.inputs.sizes(), (std::vector<int64_t>{4, 2, 7, 2}));
  auto files = options(write("x.npy", x_), y);
  files.train.pairs = write("other.npy", other);
  files.train.lengths = l;
  EXPECT_TRUE(at::equal(load_sequences(files).inputs, a.inputs));
  auto rows = options(write("all.npy", at::cat({x_, other})), y);
  rows.train.pairs = write("rows.npy", at::stack({at::arange(4), at::arange(4) + 4}, 1));
  rows.train.lengths = write("all_l.npy", at::cat({lengths_, lengths_.flip(0)}));
  EXPECT_TRUE(at::equal(load_sequences(rows).inputs, a.inputs));

  rows.train.pairs = write("rows.npy", at::tensor({0, 8}, at::kLong).view({1, 2}));
  EXPECT_NE(refusal<ritz::DataError>(rows).find("0 to 7"), std::string::npos);
  files.train.pairs = write("short.npy", other.narrow(1, 0, 5));
  EXPECT_NE(refusal<ritz::DataError>(files).find("short.npy"), std::string::npos);
  files.train.pairs = folder_ / "other.npy";
  files.train.lengths = write("l.npy", lengths_);
  EXPECT_NE(refusal<ritz::DataError>(files).find("both documents"), std::string::npos);
}

TEST_F(SequenceFiles, TargetsAreNumbersAndTestSetsMayBeLonger) {
  auto o = options(write("x.npy", x_), "");
  o.train.targets = write("t.npy", at::tensor({0.5, 1., 2., 3.}, at::kDouble));
  o.test = {.data = write("long.npy", at::cat({x_, x_}, 1)), .targets = o.train.targets};
  const auto data = load_sequences(o);
  EXPECT_EQ(data.targets.sizes(), (std::vector<int64_t>{4, 1}));
  EXPECT_EQ(data.classes, 0);
  EXPECT_EQ(data.steps, 12);
  EXPECT_TRUE(at::equal(unpack(data.inputs).lengths, at::full({4}, 6, at::kLong)));
  EXPECT_FALSE(unpack(data.test_inputs).lengths.defined());
  o.train.labels = write("y.npy", labels_);
  EXPECT_NE(refusal<ritz::InvalidArgument>(o).find("labels or targets"), std::string::npos);
  o.train.labels.clear();
  o.train.targets = write("t.npy", at::full({4}, std::nan(""), at::kDouble));
  refusal<ritz::InvalidArgument>(o);
}

TEST_F(SequenceFiles, WhatDoesNotFitIsRefusedWithItsPlace) {
  const auto x = write("x.npy", x_), y = write("y.npy", labels_);
  const auto expect = [&](const DataOptions& o, const char* part) {
    const std::string text = refusal<ritz::DataError>(o);
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  auto o = options(x, y);
  o.train.lengths = write("l.npy", at::tensor({6, 7, 1, 1}, at::kLong));
  expect(o, "found 7 (index 1)");
  o.train.lengths = write("l.npy", at::tensor({6, 5, 0, 1}, at::kLong));
  expect(o, "found 0 (index 2)");
  o.train.lengths = write("l.npy", at::tensor({6, 5, 1}, at::kLong));
  expect(o, "a length for each sequence");
  o = options(x, write("bad.npy", at::tensor({0, -1, 1, 0}, at::kLong)));
  expect(o, "found -1 (index 1)");
  o = options(x, write("bad.npy", at::tensor({0., 1.5, 1., 0.}, at::kDouble)));
  expect(o, "found 1.5 (index 1)");
  o = options(x, y);
  o.classes = 2;
  expect(o, "labels from 0 to 1, found 2 (index 1)");
  o = options(x, write("bad.npy", labels_.narrow(0, 0, 3)));
  expect(o, "4 labels");
  o = options(write("none.npy", at::zeros({4, 0, 2})), y);
  expect(o, "one step or more");
  o = options(x, y);
  o.channels = 3;
  expect(o, "3 channels");
  Tensor bad = x_.clone();
  bad[2][4][1] = std::nan("");
  o = options(write("bad.npy", bad), y);
  expect(o, "sequence 2, step 4");
  o.train.lengths = write("l.npy", at::tensor({6, 6, 4, 6}, at::kLong));
  EXPECT_NO_THROW(load_sequences(o));
  o = options(write("five.npy", at::zeros({1, 1, 1, 1, 1})), y);
  expect(o, "sequences [n, L, d]");
  o = options(x, y);
  o.test = {.data = write("t.npy", x_.narrow(2, 0, 1)), .labels = y};
  expect(o, "like those of training");
  o = options(x, y);
  o.limit = 5;
  EXPECT_THROW(load_sequences(o), ritz::InvalidArgument);
  o = options(x, "");
  EXPECT_THROW(load_sequences(o), ritz::InvalidArgument);
  o.needs_targets = false;
  EXPECT_NO_THROW(load_sequences(o));
  o.pool = 2;
  EXPECT_THROW(load_sequences(o), ritz::InvalidArgument);
}

}  // namespace
