//! The rules: one table with the code, the severity, the title and the explanation of each.
//!
//! Codes are stable. What a code means never changes, and one that is given up is not used again.

use super::finding::Severity;

macro_rules! codes {
    ($($name:ident $id:literal $severity:ident $title:literal, $explanation:literal;)*) => {
        /// A rule.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All rules, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `KS101`
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// `AnnotationInvalid`
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// How bad it is, where nothing makes it less.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// In one line.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Why it is a fault, and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation,)* }
            }
        }
    };
}

codes! {
    NotSeen "KS001" Note "something could not be looked at",
        "The API server does not let you read it, so nothing is said about it: neither that it is right nor that it is wrong. webhook-config/examples/checker-rights.yaml has the rights that a check needs.";
    NotYaml "KS002" Error "a document is not YAML",
        "Nothing of the document could be read, and kubectl would not take it either. Mend it at the line that is told.";
    DuplicateKey "KS003" Warning "a key stands twice",
        "Of a key that stands twice in one map, the last one counts, and the first is lost without a word. Delete one of them.";
    NotOptedIn "KS101" Error "the namespace is not opted in",
        "API servers ask the webhook only about pods of namespaces with the label inject.DOMAIN/enabled: \"true\". Without it annotated pods start without their secrets. Label the namespace, then create its pods anew.";
    NoWebhook "KS102" Error "no webhook is configured",
        "There is no MutatingWebhookConfiguration that calls keystow, so no pod is injected. Install keystow, or apply the configuration again.";
    NoCaBundle "KS103" Error "API servers do not trust the webhook",
        "The webhook's caBundle is empty, is not a certificate, or has expired, so API servers refuse its certificate and, by failurePolicy, the pods. keystow writes it by itself with --self-managed; else cert-manager does, or you do.";
    NobodyAnswers "KS104" Error "nobody answers for the webhook",
        "The Service that the webhook names has no ready endpoint, so annotated pods cannot be created. Look at the Deployment keystow-webhook and its pods.";
    FailsOpen "KS105" Warning "the webhook may be skipped",
        "With failurePolicy: Ignore pods start without their secrets while the webhook is away, and nothing says so. Set Fail: only annotated pods of labelled namespaces depend on it.";
    NotReached "KS106" Error "the webhook is not asked about this namespace",
        "The selectors or rules of the webhook configuration leave this namespace or the creation of pods out. Compare it with webhook-config/base/mutatingwebhookconfiguration.yaml.";
    OneReplica "KS107" Warning "one replica answers for the webhook",
        "While the only replica restarts or its node is drained, no annotated pod can be created. Run two, on different nodes, with a PodDisruptionBudget.";
    AnnotationInvalid "KS201" Error "an annotation cannot be served",
        "The webhook refuses the pod with these words. The annotation reference says what each parameter takes.";
    AnnotationOdd "KS202" Warning "an annotation is odd",
        "It is taken, and probably means something else than its author thinks: a parameter that is not known, one that stands twice, one that says nothing here.";
    NotPermitted "KS203" Error "the configuration does not allow it",
        "The operator's configuration says which namespaces may name which storage prefix, and where predictable local values are allowed. Ask for what is allowed, or have the configuration changed.";
    UnknownStore "KS204" Error "the store is not configured",
        "inject.DOMAIN/store names a store that the operator's configuration does not have. The names that it has are told.";
    NotInjectable "KS205" Error "the pod cannot be injected",
        "Something of the pod stands where something of ours would be, or the cluster or its operating system cannot do it. The webhook refuses the pod with these words.";
    Misplaced "KS206" Warning "annotations are on the wrong object",
        "Annotations of a Deployment do not reach its pods. Put them below spec.template.metadata (of a CronJob: spec.jobTemplate.spec.template.metadata).";
    OptedOut "KS207" Warning "a pod asks and opts out",
        "inject.DOMAIN/enabled: \"false\" keeps keystow away from the pod, so its other annotations do nothing. Delete one or the other.";
    LooksLikeOurs "KS208" Warning "a key is almost one of ours",
        "Keys are FAMILY.DOMAIN/NAME, and whoever misspells the family or the domain gets nothing and hears nothing. Write the key that is told.";
    Clash "KS209" Warning "injection leaves something as it is",
        "The pod has something of its own where an annotation wanted something else, and what the pod has stays. Delete one of them.";
    LocalMode "KS210" Warning "values are predictable",
        "local-mode gives values that anybody can derive from their names. It is for development; take the annotation out wherever data matter.";
    LeasesImpossible "KS211" Error "the store cannot hold leases",
        "An index must be released only while its holder is still the one that was looked at, which not every store can do. Use dynamodb, kubernetes, or vault with KV version 2.";
    NotInjected "KS301" Error "a pod was not injected",
        "The pod asks for something and bears no note of the webhook: it is older than the webhook or the label, or came while the webhook was skipped. Delete it, so that it is created anew.";
    InjectedOtherwise "KS302" Warning "a pod was injected for other annotations",
        "Its annotations were changed after it was created, and what was injected belongs to the old ones. Delete it, so that it is created anew.";
    NotInStore "KS303" Error "a secret was not found in the pod: the store does not have it",
        "The init container waited until its deadline and then ended with code 65. Create the value, or mend storage-prefix and storageKey; for DYNAMIC secrets look whether the creator runs.";
    PermissionDenied "KS304" Error "permission denied: the store refuses the pod",
        "The init container ended with code 77: the pod's identity may not read what it asks for. keystow export writes the policy that grants exactly that.";
    StoreAway "KS305" Error "the store does not answer",
        "The init container ended with code 69. Look at the store, at the network policy and the proxy between.";
    InitFails "KS306" Error "the init container does not run",
        "Its image cannot be had, its settings are wrong (code 64), or it ended otherwise. Its last words are in kubectl describe pod.";
    CannotStart "KS307" Error "a container cannot start for want of a Secret",
        "The kubelet waits for a Secret or a key of it (CreateContainerConfigError). It starts the container by itself as soon as that is there.";
    CannotMount "KS308" Error "a volume cannot be mounted",
        "The kubelet waits for the Secret that the volume shows. It mounts it by itself as soon as that is there.";
    PodsRefused "KS309" Error "pods are refused",
        "The API server does not take the pods that this object makes. The reasons are in the message; the object's controller tries again by itself.";
    CreatorSays "KS310" Warning "the creator cannot give a pod what it asks for",
        "The Event beside the pod says what is missing and what to do; docs/runbook.md has each reason.";
    SecretMissing "KS401" Error "a Secret is not there",
        "Pods that need it do not start. Create it, or mend the name where it is asked for.";
    KeyMissing "KS402" Error "a Secret has no such key",
        "Pods that need it do not start. Add the key, or mend its name where it is asked for.";
    OptionalMissing "KS403" Warning "an optional Secret is not there",
        "Pods start without it, with a variable or file that is missing. Create it, or take the annotation out.";
    EmptyValue "KS404" Error "a value is empty",
        "An empty password or key is worse than none: some applications take it for switched off. Write a value.";
    DefaultValue "KS405" Error "a value is a default that everybody knows",
        "It came out of an example or a manual and was never changed. Generate one: kind=DYNAMIC does, or openssl rand.";
    ShortValue "KS406" Warning "a key or password is short",
        "A key for HMAC or encryption needs 32 bytes, a password or token 12 characters, or it can be found by trying. Generate a longer one.";
    UnusableName "KS407" Warning "a key makes no variable",
        "envFrom makes variables of all keys, and a name that begins with a digit is skipped by the kubelet before 1.34 and read by no shell. Rename the key, or give a prefix.";
    TrailingNewline "KS408" Warning "a value ends in a newline",
        "It was probably made by echo, and the newline is part of the password. Write it with printf, or with kubectl create secret --from-literal.";
    EncodedTwice "KS409" Warning "a value is encoded twice",
        "data holds base64 already, and this value decodes to base64 of readable text. Use stringData, or encode once.";
    WeakKey "KS410" Error "a key cannot be used",
        "It is a PEM that cannot be read, or an RSA key of less than 2048 bits. Generate a new one.";
    HalvesDiffer "KS411" Error "two halves are of different keys",
        "The private key does not belong to the certificate or public key beside it, so whoever verifies with that refuses everything. Write both again, from one generation.";
    CertificateExpires "KS412" Error "a certificate has expired, or soon will",
        "Clients refuse it from the moment at which it ends, and whoever serves it is not reached any more. Renew it.";
    LowVariety "KS413" Warning "a value is hardly random",
        "It repeats few characters or counts upwards, so it is found by trying. Generate one.";
    LiteralSecret "KS414" Warning "a secret stands in the manifest",
        "The value of this variable is readable for everybody who may read the object or its repository. Put it into a Secret and ask for it by kind=KUBERNETES.";
    SharedValue "KS415" Warning "two secrets have one value",
        "Who learns one of them has the other, and one cannot be changed alone. Generate a value for each.";
    SecretInFile "KS416" Warning "a Secret with its values is in a file",
        "Base64 hides nothing: whoever reads the repository has the values. Let External Secrets, SOPS or keystow's stores bring them into the cluster.";
    LastingToken "KS417" Warning "a service account has a token that does not expire",
        "Secrets of the type kubernetes.io/service-account-token are good until they are deleted. Pods get short-lived tokens without them; for others kubectl create token makes one.";
    SecretInConfigMap "KS418" Warning "a ConfigMap seems to hold a secret",
        "ConfigMaps are read by many, encrypted by nobody and shown by kubectl describe. Move the value into a Secret.";
    AccountMissing "KS501" Error "a service account is not there",
        "Pods that run as it are refused. Create it; keystow export rbac writes it.";
    AccountDenied "KS502" Error "permission denied: the account may not read its Secrets",
        "The init container reads Secrets with the pod's own identity, and this one may not. keystow export rbac writes the Role.";
    AccountReadsAll "KS503" Warning "an account may read every Secret",
        "Whoever takes over one of its pods has all Secrets of the namespace. Give it a Role with resourceNames: keystow export rbac writes it.";
    DefaultAccount "KS504" Warning "secrets are fetched as the account default",
        "Every pod of the namespace that names no account is the same identity, so each can read what this one may. Give the workload an account of its own by inject.DOMAIN/service-account.";
    NoToken "KS505" Error "the pod has no token to read Secrets with",
        "automountServiceAccountToken is false, and the store kubernetes is read with that token. Leave it out, or use another store.";
    AccountStays "KS506" Warning "two accounts are wanted",
        "The pod names one service account in its spec and another in its annotation; the one of the spec stays. Delete one.";
    NoCloudIdentity "KS507" Warning "nothing says which cloud identity the account is",
        "The store is read with an identity of the cloud, and neither the store's settings nor the account's annotations name one. Set roleArn (azure: clientId) or annotate the account.";
    ValueMissing "KS601" Error "a value is not in the store",
        "Somebody has to put it there: a REFERENCE and a resource are never generated. Pods wait for it until their deadline.";
    PairIncomplete "KS602" Error "half of what belongs together is there",
        "A key pair is generated and stored as a whole, so somebody deleted a half. It is never completed, since what exists may be in use: delete the rest, or put the missing half back.";
    NoCreator "KS603" Error "nobody generates what is asked for",
        "A DYNAMIC secret or a lease is asked for, and no creator holds its Lease. Run keystow create: docs/creator.md.";
    CreatorDenied "KS604" Error "the creator has no right to this namespace",
        "It writes Secrets only where a RoleBinding lets it. Apply one as in webhook-config/examples/creator-rights.yaml, or name the namespace in creator.secretNamespaces.";
    RangeTooSmall "KS605" Error "there are more pods than indices",
        "A pod that finds every index of the range held waits until one is free. Widen the range, or run fewer pods.";
    RotationOverdue "KS701" Warning "a rotation is overdue",
        "rotate.DOMAIN/every says how old it may become, and it is older. Rotate it, and look why nobody did.";
    NeverRotated "KS702" Warning "a secret is old",
        "It was written longer ago than --max-age, and nothing says that it is ever changed. Rotate it, or say how often by rotate.DOMAIN/every.";
    RotationUnreadable "KS703" Warning "a rotation annotation cannot be read",
        "It says nothing as it stands, so the Secret is never rotated. A duration is a number and a unit: 90d.";
    NotSyncing "KS801" Error "an ExternalSecret is not syncing",
        "External Secrets says why in its condition Ready. Mostly the remote object or property is not there, or the store's identity may not read it.";
    SyncStale "KS802" Warning "an ExternalSecret has not been refreshed for long",
        "It was last refreshed more than twice its interval ago. Look at the operator's pods and logs.";
    ExternalStoreFails "KS803" Error "the store of an ExternalSecret is missing or not ready",
        "Nothing of it is synced until it is. Its condition Ready says why.";
    TargetMissing "KS804" Error "an ExternalSecret has written no Secret",
        "It was read without a fault, perhaps once, and its target is not there. Look at target.name and creationPolicy, and who deletes it.";
    SyncedOnce "KS805" Warning "an ExternalSecret is synced only once",
        "refreshInterval: 0 never reads the store again, so a rotation does not reach the cluster. Set an interval.";
    TwoWriters "KS806" Error "two ExternalSecrets write one Secret",
        "Each undoes what the other wrote, again and again. Give each a target of its own, or merge them.";
    NotEncryptedAtRest "KS901" Warning "Secrets may be in etcd as they are",
        "Without --encryption-provider-config the API server writes Secrets to etcd unencrypted, and so they are in its backups. keystow export encryption-config writes the file; docs/encryption-at-rest.md has the steps.";
    BackupReminder "KS902" Note "nothing here tells whether secrets are backed up",
        "Generated keys exist in one place only. Back up the store and etcd, keep the encryption keys apart from both, and try to restore.";
    LocalModeAllowed "KS903" Warning "predictable values are allowed in this namespace",
        "The configuration's localMode.namespaces covers it. Take it out where data matter.";
    NoRotation "KS905" Note "a secret has no rotation",
        "Nothing says how old it may become. rotate.DOMAIN/every does, on the Secret.";
}
