"""Names of settings: `SECRETS` hold secrets; `PLAIN` only contain the same words."""

from __future__ import annotations

_SECRETS = """
OPENAI_KEY DB_PASS PASSPHRASE ssh_passphrase HF_TOKEN GITHUB_TOKEN token authToken access_token refresh-token
api_tokens AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID awsSecretAccessKey STRIPE_API_KEY apiKey APIKey apikey
x-api-key private_key SIGNING_KEY ENCRYPTION_KEY KEY_OPENAI_API_KEY openaikey pass PGPASSWORD PGPASS dbpass
MYSQL_PWD client-secret clientSecret SECRET CREDENTIALS google_credentials SENTRY_DSN GITHUB_PAT NPM_JWT
fs.azure.account.key.store.dfs.core.windows.net fs.s3a.secret.key spark.hadoop.fs.s3a.access.key
spark.ssl.keyPassword spark.authenticate.secret AZURE_STORAGE_CONNECTION_STRING password_hash SAS
DB_PASSWORD_2 API_KEY_1 hftoken Kennwort cookie Authorization subscription-key SMTP_PASSWD admin.pw
OPENAI_KEY_PROD DB_PASS_PROD HF_TOKEN_DEV KEY_OPENAI PASS_DB DB_CREDS cred REDIS_AUTH npm_auth dbpw db_pw_old
motdepasse contraseña wachtwoord passw0rd .dockerconfigjson FERNET_KEY
"""
_PLAIN = """
max_tokens MAX_TOKENS min_token n_tokens num_tokens tokens token_count token_type_ids pad_token eos_token_id
tokenizer TOKENIZERS_PARALLELISM tokenize key keys key_column primary_key foreign_key partition_key sort_key
rowKey group_key primaryKey sortkey join_keys key_field password_field password_column secret_name token_url
API_KEY_FILE compass bypass passenger_id passed forward_pass pass_through n_pass author monkey keyboard sha256
secretary partition_by map_key customer_key keystone path cookie_policy spark.sql.shuffle.partitions
TokenError sort_key_old key_prod use_auth auth key_user pass_rate production
"""
SECRETS = tuple(_SECRETS.split())
PLAIN = tuple(_PLAIN.split())
