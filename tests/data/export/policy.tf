data "aws_iam_policy_document" "orders_keys" {
  statement {
    actions   = ["dynamodb:GetItem"]
    resources = [var.table_arn]
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values = [
        "/${var.environment_name}/Capital",
        "/${var.environment_name}/identity-db.url",
        "/${var.environment_name}/identity-db.url",
        "/${var.environment_name}/it's a=b&c<d>`e`"q"",
        "/${var.environment_name}/mail.signing.v1_public",
        "/${var.environment_name}/orders.api-key",
        "/${var.environment_name}/orders.db",
        "/${var.environment_name}/pgp_public",
        "/${var.environment_name}/shared.key.v1_private",
        "/${var.environment_name}/shared.key.v1_public",
        "/${var.environment_name}/snowflake",
        "/${var.environment_name}/worker"
      ]
    }
  }
}
