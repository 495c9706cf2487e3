"""What the libraries print, with a line or two of each, and what is read in it."""
# ruff: noqa: E501 - the lines stand as they were printed

BY_LIBRARY = {
    "fastai": (
        [
            "epoch     train_loss  valid_loss  accuracy  time    ",
            "0         0.532109    0.412345  0.812000  00:12    ",
            "1         0.432109    0.312345  0.862000  00:11    ",
        ],
        [
            ("train_loss", 0.532109, 0.0),
            ("valid_loss", 0.412345, 0.0),
            ("accuracy", 0.812, 0.0),
            ("train_loss", 0.432109, 1.0),
            ("valid_loss", 0.312345, 1.0),
            ("accuracy", 0.862, 1.0),
        ],
    ),
    "catboost": (
        [
            "Learning rate set to 0.05",
            "0:\tlearn: 0.6853412\ttest: 0.6861231\tbest: 0.6861231 (0)\ttotal: 58.3ms\tremaining: 58.2s",
            "10:\tlearn: 0.5853412\ttest: 0.5961231\tbest: 0.5961231 (10)\ttotal: 158ms\tremaining: 14s",
            "",
            "bestTest = 0.5961231",
            "bestIteration = 10",
            "Shrink model to first 11 iterations.",
        ],
        [
            ("learn", 0.6853412, 0.0),
            ("test", 0.6861231, 0.0),
            ("best", 0.6861231, 0.0),
            ("learn", 0.5853412, 10.0),
            ("test", 0.5961231, 10.0),
            ("best", 0.5961231, 10.0),
            ("bestTest", 0.5961231, None),
        ],
    ),
    "xgb": (
        [
            "[0]\tvalidation_0-logloss:0.60321\tvalidation_1-logloss:0.61234",
            "[99]\tvalidation_0-logloss:0.10321\tvalidation_1-logloss:0.21234",
        ],
        [
            ("validation_0-logloss", 0.60321, 0.0),
            ("validation_1-logloss", 0.61234, 0.0),
            ("validation_0-logloss", 0.10321, 99.0),
            ("validation_1-logloss", 0.21234, 99.0),
        ],
    ),
    "lgb": (
        [
            "[LightGBM] [Info] Number of positive: 212, number of negative: 357",
            "[LightGBM] [Info] Total Bins 4548",
            "[LightGBM] [Info] Start training from score -0.521150",
            "Training until validation scores don't improve for 10 rounds",
            "[50]\ttraining's binary_logloss: 0.0321\tvalid_1's binary_logloss: 0.1021",
            "Early stopping, best iteration is:",
            "[45]\ttraining's binary_logloss: 0.0421\tvalid_1's binary_logloss: 0.0921",
        ],
        [
            ("training_binary_logloss", 0.0321, 50.0),
            ("valid_1_binary_logloss", 0.1021, 50.0),
            ("training_binary_logloss", 0.0421, 45.0),
            ("valid_1_binary_logloss", 0.0921, 45.0),
        ],
    ),
    "sklearn mlp": (
        [
            "Iteration 1, loss = 2.30213",
            "Iteration 2, loss = 1.80213",
            "Validation score: 0.812000",
        ],
        [("loss", 2.30213, 1.0), ("loss", 1.80213, 2.0), ("validation_score", 0.812, None)],
    ),
    "sklearn gbm oob": (
        [
            "      Iter       Train Loss      OOB Improve   Remaining Time ",
            "         1           0.6100           0.0800            0.50s",
        ],
        [("train_loss", 0.61, 1.0), ("oob_improve", 0.08, 1.0)],
    ),
    "sklearn hgb": (
        [
            "Binning 0.004 GB of training data: 0.045 s",
            "Fitting gradient boosted rounds:",
            "[1/100] 1 tree, 31 leaves, max depth = 8, train loss: 0.61234, val loss: 0.62345, in 0.011s",
            "[2/100] 1 tree, 31 leaves, max depth = 9, train loss: 0.51234, val loss: 0.52345, in 0.010s",
        ],
        [
            ("train_loss", 0.61234, 1.0),
            ("val_loss", 0.62345, 1.0),
            ("train_loss", 0.51234, 2.0),
            ("val_loss", 0.52345, 2.0),
        ],
    ),
    "timm": (
        [
            "Train: 3 [ 100/1251 (  8%)]  Loss: 6.91 (6.92)  Time: 0.412s,  621.12/s  (0.421s,  608.12/s)  LR: 1.000e-04  Data: 0.010 (0.012)",
            "Test: [  48/48]  Time: 0.105 (0.210)  Loss:   1.2345 (1.3456)  Acc@1:  71.2300 ( 70.1230)  Acc@5:  90.1200 ( 89.5670)",
            "*** Best metric: 71.234 (epoch 9)",
        ],
        [
            ("train_loss", 6.91, 3.0),
            ("test_loss", 1.2345, 3.0),
            ("test_acc@1", 71.23, 3.0),
            ("test_acc@5", 90.12, 3.0),
            ("best_metric", 71.234, 9.0),
        ],
    ),
    "detectron2": (
        [
            "[11/29 05:00:00 d2.utils.events]:  eta: 0:12:34  iter: 1999  total_loss: 0.512  loss_cls: 0.123  loss_box_reg: 0.234  time: 0.2011  last_time: 0.19  data_time: 0.0034  lr: 0.00025  max_mem: 3211M",
            "[11/29 05:10:00 d2.evaluation.testing]: copypaste: Task: bbox",
            "[11/29 05:10:00 d2.evaluation.testing]: copypaste: AP,AP50,AP75,APs,APm,APl",
            "[11/29 05:10:00 d2.evaluation.testing]: copypaste: 38.1234,58.2345,41.3456,20.1,41.2,50.3",
        ],
        [
            ("total_loss", 0.512, 1999.0),
            ("loss_cls", 0.123, 1999.0),
            ("loss_box_reg", 0.234, 1999.0),
            ("AP", 38.1234, None),
            ("AP50", 58.2345, None),
            ("AP75", 41.3456, None),
            ("APs", 20.1, None),
            ("APm", 41.2, None),
            ("APl", 50.3, None),
        ],
    ),
    "coco": (
        [
            " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.381",
            " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.582",
        ],
        [("AP", 0.381, None), ("AP50", 0.582, None)],
    ),
    "mmengine": (
        [
            "11/29 05:00:00 - mmengine - INFO - Epoch(train)   [1][  50/1252]  lr: 1.0000e-02  eta: 1:02:03  time: 0.5123  data_time: 0.0512  memory: 3211  loss: 2.3012  loss_cls: 1.2",
            "11/29 05:10:00 - mmengine - INFO - Epoch(val) [1][98/98]    accuracy/top1: 71.2300  accuracy/top5: 90.1200  data_time: 0.0121  time: 0.0923",
        ],
        [
            ("train_loss", 2.3012, 1.0),
            ("train_loss_cls", 1.2, 1.0),
            ("val_accuracy/top1", 71.23, 1.0),
            ("val_accuracy/top5", 90.12, 1.0),
        ],
    ),
    "mmseg": (
        [
            "11/29 05:00:00 - mmengine - INFO - Iter(train) [  500/40000]  lr: 9.9e-03  eta: 3:02:03  time: 0.25  data_time: 0.005  memory: 5012  loss: 1.2  decode.loss_ce: 0.8  decode.acc_seg: 71.2",
            "11/29 05:00:00 - mmengine - INFO - Iter(val) [500/500]    aAcc: 92.1000  mIoU: 71.2000  mAcc: 80.3000  data_time: 0.01  time: 0.2",
        ],
        [
            ("train_loss", 1.2, 500.0),
            ("train_decode.loss_ce", 0.8, 500.0),
            ("train_decode.acc_seg", 71.2, 500.0),
            ("val_aacc", 92.1, 500.0),
            ("val_miou", 71.2, 500.0),
            ("val_macc", 80.3, 500.0),
        ],
    ),
    "torchmetrics cuda": (
        [
            "{'val_MulticlassAccuracy': tensor(0.9123, device='cuda:0'), 'val_loss': tensor(0.3, device='cuda:0')}"
        ],
        [("val_MulticlassAccuracy", 0.9123, None), ("val_loss", 0.3, None)],
    ),
    "flax": (
        [
            "train epoch: 3, loss: 0.0321, accuracy: 99.01",
            "test epoch: 3, loss: 0.0421, accuracy: 98.71",
        ],
        [
            ("train_loss", 0.0321, 3.0),
            ("train_accuracy", 99.01, 3.0),
            ("test_loss", 0.0421, 3.0),
            ("test_accuracy", 98.71, 3.0),
        ],
    ),
    "flax clu": (
        [
            "I1129 05:00:00.123456 140 logging_writer.py:48] [100] accuracy=0.913000, loss=0.301000",
            "I1129 05:00:00.123456 140 logging_writer.py:64] [200] eval_accuracy=0.953000, eval_loss=0.201000",
        ],
        [
            ("accuracy", 0.913, 100.0),
            ("loss", 0.301, 100.0),
            ("eval_accuracy", 0.953, 200.0),
            ("eval_loss", 0.201, 200.0),
        ],
    ),
    "jax array": (
        ["step 100 loss Array(0.512, dtype=float32)"],
        [("loss", 0.512, 100.0)],
    ),
    "transformers eval": (
        [
            "***** eval metrics *****",
            "  epoch                   =        3.0",
            "  eval_accuracy           =     0.8431",
            "  eval_loss               =     0.4123",
            "  eval_runtime            = 0:00:03.21",
            "  eval_samples_per_second =    127.121",
        ],
        [("eval_accuracy", 0.8431, 3.0), ("eval_loss", 0.4123, 3.0)],
    ),
    "fairseq": (
        [
            "2026-11-29 05:00:00 | INFO | valid | epoch 003 | valid on 'valid' subset | loss 3.21 | ppl 9.25 | wps 12345 | num_updates 1200 | best_loss 3.11"
        ],
        [
            ("valid_loss", 3.21, 1200.0),
            ("valid_ppl", 9.25, 1200.0),
            ("valid_best_loss", 3.11, 1200.0),
        ],
    ),
    "espnet": (
        [
            "[host] 2026-11-29 05:00:00,123 (trainer:342) INFO: 3epoch results: [train] iter_time=0.012, loss=12.3, acc=0.71, [valid] loss=10.1, acc=0.81, time=3.2 seconds"
        ],
        [
            ("train_loss", 12.3, 3.0),
            ("train_acc", 0.71, 3.0),
            ("valid_loss", 10.1, 3.0),
            ("valid_acc", 0.81, 3.0),
        ],
    ),
    "speechbrain": (
        [
            "epoch: 3, lr: 1.00e-03 - train loss: 2.31 - valid loss: 2.01, valid CER: 12.3, valid WER: 31.2"
        ],
        [
            ("train_loss", 2.31, 3.0),
            ("valid_loss", 2.01, 3.0),
            ("valid_cer", 12.3, 3.0),
            ("valid_wer", 31.2, 3.0),
        ],
    ),
    "allennlp": (
        [
            "2026-11-29 05:00:00,123 - INFO - allennlp.training.tensorboard_writer -                        Training |  Validation",
            "2026-11-29 05:00:00,123 - INFO - allennlp.training.tensorboard_writer - accuracy           |     0.912  |     0.871",
            "2026-11-29 05:00:00,123 - INFO - allennlp.training.tensorboard_writer - loss               |     0.212  |     0.371",
        ],
        [
            ("training_accuracy", 0.912, None),
            ("validation_accuracy", 0.871, None),
            ("training_loss", 0.212, None),
            ("validation_loss", 0.371, None),
        ],
    ),
    "spacy": (
        [
            "E    #       LOSS TOK2VEC  LOSS TAGGER  TAG_ACC  SCORE ",
            "---  ------  ------------  -----------  -------  ------",
            "  0       0          0.00       112.34    21.10    0.21",
            "  0     200        123.45      2345.67    71.20    0.71",
        ],
        [
            ("loss_tok2vec", 0.0, 0.0),
            ("loss_tagger", 112.34, 0.0),
            ("TAG_ACC", 21.1, 0.0),
            ("SCORE", 0.21, 0.0),
            ("loss_tok2vec", 123.45, 200.0),
            ("loss_tagger", 2345.67, 200.0),
            ("TAG_ACC", 71.2, 200.0),
            ("SCORE", 0.71, 200.0),
        ],
    ),
    "flair": (
        [
            "2026-11-29 05:00:00,123 epoch 3 - iter 100/1000 - loss 0.31234567 - time (sec): 12.3 - samples/sec: 123.1 - lr: 0.100000",
            "2026-11-29 05:00:00,123 DEV : loss 0.21 - f1-score (micro avg)  0.9123",
        ],
        [
            ("loss", 0.31234567, 3.0),
            ("samples/sec", 123.1, 3.0),
            ("dev_loss", 0.21, 3.0),
            ("dev_f1-score_micro_avg", 0.9123, 3.0),
        ],
    ),
    "tianshou": (
        ["Epoch #3: test_reward: 195.200000 ± 12.100000, best_reward: 199.100000 ± 1.200000 in #2"],
        [("test_reward", 195.2, 3.0), ("best_reward", 199.1, 3.0)],
    ),
    "megatron val": (
        [
            " validation loss at iteration 1000 | lm loss value: 2.912E+00 | lm loss PPL: 1.840E+01 | "
        ],
        [("validation_lm_loss_value", 2.912, 1000.0), ("validation_lm_loss_ppl", 18.4, 1000.0)],
    ),
    "nanogpt2": (
        [
            "step 250/19560 | train loss 6.123456 | lr 3.00e-04 | dt 512.1ms | tok/s 1023456",
            "val loss 3.2812",
            "step:125/1770 train_time:12345ms val_loss:4.3210 step_avg:98.76ms",
        ],
        [("train_loss", 6.123456, 250.0), ("val_loss", 3.2812, None), ("val_loss", 4.321, 125.0)],
    ),
    "mlx": (
        [
            "Iter 100: Val loss 2.312, Val took 3.123s",
            "Iter 110: Train loss 2.112, Learning Rate 1.000e-05, It/sec 1.123, Tokens/sec 512.1, Trained Tokens 12345, Peak mem 12.1 GB",
        ],
        [("val_loss", 2.312, 100.0), ("train_loss", 2.112, 110.0)],
    ),
    "torchtune": (
        ["1|100|Loss: 1.234: 100%|██████████| 100/100 [00:10<00:00,  9.9it/s]"],
        [("Loss", 1.234, 100.0)],
    ),
    "yolov5": (
        [
            "      Epoch    GPU_mem   box_loss   obj_loss   cls_loss  Instances       Size",
            "        2/2      1.2G    0.04512    0.03211    0.01234        123        640: 100%|██████████| 8/8 [00:03<00:00,  2.3it/s]",
            "                 Class     Images  Instances          P          R      mAP50   mAP50-95: 100%|██████████| 4/4 [00:01<00:00]",
            "                   all        128        929      0.712      0.634      0.701      0.478",
        ],
        [
            ("box_loss", 0.04512, 2.0),
            ("obj_loss", 0.03211, 2.0),
            ("cls_loss", 0.01234, 2.0),
            ("precision", 0.712, 2.0),
            ("recall", 0.634, 2.0),
            ("mAP50", 0.701, 2.0),
            ("mAP50-95", 0.478, 2.0),
        ],
    ),
    "tabnet": (
        [
            "epoch 0  | loss: 0.61234 | train_auc: 0.71234 | valid_auc: 0.70123 |  0:00:01s",
            "epoch 1  | loss: 0.51234 | train_auc: 0.81234 | valid_auc: 0.80123 |  0:00:02s",
        ],
        [
            ("loss", 0.61234, 0.0),
            ("train_auc", 0.71234, 0.0),
            ("valid_auc", 0.70123, 0.0),
            ("loss", 0.51234, 1.0),
            ("train_auc", 0.81234, 1.0),
            ("valid_auc", 0.80123, 1.0),
        ],
    ),
    "autogluon": (
        [
            "Fitting model: LightGBM ...",
            "\t0.8712\t = Validation score   (accuracy)",
            "\t1.23s\t = Training   runtime",
        ],
        [("validation_score_accuracy", 0.8712, None)],
    ),
    "R glm": (
        [
            "Accuracy : 0.9123",
            "95% CI : (0.8812, 0.9371)",
            "No Information Rate : 0.5213",
            "P-Value [Acc > NIR] : <2e-16",
            "Kappa : 0.8211",
        ],
        [("Accuracy", 0.9123, None), ("Kappa", 0.8211, None)],
    ),
    "R vec": (
        ['[1] "RMSE: 3.214"', "     RMSE  Rsquared       MAE ", "3.2140000 0.8123000 2.4120000 "],
        [
            ("RMSE", 3.214, None),
            ("RMSE", 3.214, None),
            ("Rsquared", 0.8123, None),
            ("MAE", 2.412, None),
        ],
    ),
    "keras R": (
        ["$loss", "[1] 0.312", "", "$accuracy", "[1] 0.9123"],
        [("loss", 0.312, None), ("accuracy", 0.9123, None)],
    ),
    "accelerate": (
        [
            "epoch 0: {'accuracy': 0.8431, 'f1': 0.8912}",
            "epoch 1: {'accuracy': 0.8631, 'f1': 0.9012}",
        ],
        [
            ("accuracy", 0.8431, 0.0),
            ("f1", 0.8912, 0.0),
            ("accuracy", 0.8631, 1.0),
            ("f1", 0.9012, 1.0),
        ],
    ),
    "cleanrl": (
        ["global_step=12345, episodic_return=[200.]", "global_step=12400, episodic_return=210.0"],
        [("episodic_return", 200.0, 12345.0), ("episodic_return", 210.0, 12400.0)],
    ),
}
